"""Section `deploy`: each key becomes its value in the model, and mistakes are told where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.model.deployment import DeploySettings, SshKey
from router.model.station import Basic, Bearer, Secret
from tests.support.configuration import loaded

HTTPS = "https://git.example/config.git"
UNSIGNED = "require_signature: false"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ca.pem", "signers", "secret", "key", "hosts"):
        (tmp_path / name).write_text("x")
    return tmp_path


def deploy(folder: Path, text: str) -> DeploySettings:
    result = loaded(folder, f"tls: {{hospital: {{ca: ca.pem}}}}\ndeploy: {{{text}}}\n")
    assert result.errors == (), result.render()
    assert result.plan is not None and result.plan.deploy is not None
    return result.plan.deploy


def test_without_a_section_no_branch_is_followed(folder: Path) -> None:
    plan = loaded(folder, "rules: []").plan
    assert plan is not None and plan.deploy is None


def test_f101_a_signature_is_asked_for_unless_the_file_says_otherwise(folder: Path) -> None:
    seen = deploy(folder, f"repository: '{HTTPS}', allowed_signers: signers")
    assert seen == DeploySettings(HTTPS, "main", allowed_signers=folder / "signers")
    assert (seen.every_seconds, seen.timeout_seconds, seen.is_local) == (300.0, 60.0, False)
    assert deploy(folder, f"repository: '{HTTPS}', {UNSIGNED}").allowed_signers is None


def test_every_key(folder: Path) -> None:
    seen = deploy(
        folder,
        f"repository: '{HTTPS}', branch: site/a, path: sites/a/, every: 10m, timeout: 5s, tls: hospital,"
        f" {UNSIGNED}, auth: {{type: basic, username: edge, password: {{file: secret}}}}",
    )
    auth = Basic("edge", Secret("file", "secret"))
    assert seen == DeploySettings(HTTPS, "site/a", "sites/a", 600.0, 5.0, None, "hospital", auth)
    bearer = f"repository: '{HTTPS}', {UNSIGNED}, auth: {{type: bearer, token: {{file: secret}}}}"
    assert deploy(folder, bearer).auth == Bearer(Secret("file", "secret"))
    for address in ("ssh://git@git.example:22/config.git", "git@git.example:config.git"):
        ssh = f"repository: '{address}', {UNSIGNED}, auth: {{type: ssh, key: key, known_hosts: hosts}}"
        assert deploy(folder, ssh).auth == SshKey(folder / "key", folder / "hosts")
    assert deploy(folder, f"repository: /srv/config.git, {UNSIGNED}").is_local
    assert deploy(folder, f"repository: 'http://127.0.0.1:80/x.git', {UNSIGNED}").repository


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (f"repository: '{HTTPS}'", "DR103", "commits must be signed"),
        (UNSIGNED, "DR103", "repository"),
        (f"repository: '{HTTPS}', allowed_signers: none", "DR401", "allowed signers 'none'"),
        (f"repository: '{HTTPS}', allowed_signers: signers, {UNSIGNED}", "DR106", "no signature"),
        (f"repository: 'https://u:p@git.example/x', {UNSIGNED}", "DR107", "user or a password"),
        (f"repository: 'ssh://u:p@git.example/x', {UNSIGNED}", "DR107", "user or a password"),
        (f"repository: 'http://git.example/x', {UNSIGNED}", "DR403", "this machine"),
        (f"repository: 'file:///srv/x.git', {UNSIGNED}", "DR105", "address"),
        (f"repository: 'ext::sh -c id', {UNSIGNED}", "DR105", "address"),
        (f"repository: 'https://-oProxyCommand=id/x', {UNSIGNED}", "DR105", "address"),
        (f"repository: config.git, {UNSIGNED}", "DR105", "absolute path"),
        (f"repository: 'git@git.example:x', {UNSIGNED}", "DR103", "type: ssh"),
        (f"repository: '{HTTPS}', branch: '--upload-pack=id', {UNSIGNED}", "DR105", "branch"),
        (f"repository: '{HTTPS}', branch: a..b, {UNSIGNED}", "DR105", "branch"),
        (f"repository: '{HTTPS}', path: ../other, {UNSIGNED}", "DR105", "path"),
        (f"repository: '{HTTPS}', every: 10ms, {UNSIGNED}", "DR105", "1s or longer"),
        (f"repository: '{HTTPS}', timeout: 2h, {UNSIGNED}", "DR105", "from 1s to 1h"),
        (f"repository: '{HTTPS}', tls: hospitall, {UNSIGNED}", "DR202", "hospitall"),
        (f"repository: /srv/x.git, tls: hospital, {UNSIGNED}", "DR106", "https:// only"),
        (
            f"repository: '{HTTPS}', {UNSIGNED}, auth: {{type: ssh, key: key, known_hosts: hosts}}",
            "DR106",
            "'ssh' does not go with https",
        ),
        (
            f"repository: '{HTTPS}', {UNSIGNED}, auth: {{type: bearer, token: abc}}",
            "DR107",
            "token",
        ),
    ],
)
def test_a_mistake_is_told(folder: Path, text: str, code: str, words: str) -> None:
    result = loaded(folder, f"tls: {{hospital: {{ca: ca.pem}}}}\ndeploy: {{{text}}}\n")
    found = [one for one in result.errors if one.code == code and words in one.message + one.hint]
    assert found, result.render()
    assert found[0].place.line == 2
