"""`deploy`: a commit becomes the configuration of a running router, or what runs goes on."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployed import Site
from tests.support.ledger_view import wait_for
from tests.support.process import wait_until
from tests.support.scanner import scan
from tests.support.synthetic import instance


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_f7_f97_f101_a_revision_runs_is_carried_and_can_be_taken_back(site: Site) -> None:
    one = site.repository.commit("one")
    site.first(one)
    assert os.readlink(site.link) == f"config.releases/{one}"
    assert {path.stat().st_mode & 0o222 for path in (site.link / "router.yaml", site.link)} == {0}
    site.start()
    two = site.repository.commit("two")
    code, output, errors = site.deploy("main")
    assert (code, output) == (0, output), errors
    assert "applied: plan" in output
    images = [instance(n, study=n, rows=8, columns=8) for n in range(2)]
    assert set(scan(site.port, images[:1]).values()) == {0}
    wait_for(site.data, delivered=1)
    (task,) = site.edge.tasks()["tasks"]
    assert (task["requester"], task["revision"]) == ("two", two[:12])
    assert site.edge.process is not None
    wait_until(
        lambda: f'"revision": "{two[:12]}"' in site.edge.process.tail(), 5, what="it is logged"
    )
    told = site.status()
    assert (told["current"], told["running"]) == (two, True)
    assert [entry["commit"] for entry in told["history"]] == [two, one]
    assert told["history"][0]["subject"] == "The rule is two"
    code, output, errors = site.deploy("rollback")
    assert code == 0, errors
    assert site.status()["current"] == one
    scan(site.port, images[1:])
    wait_for(site.data, delivered=2)
    assert site.edge.tasks()["tasks"][0]["requester"] == "one"
    code, _, errors = site.deploy("rollback")
    assert (code, "no release before" in errors) == (1, True)


def test_f101_what_fails_its_checks_or_tests_changes_nothing(site: Site) -> None:
    good = site.repository.commit("good")
    site.first(good)
    site.start()
    bad = {
        "its test": site.repository.commit("failing", expected="ct-1"),
        "DR": site.repository.commit("bad: [", expected="pacs"),
    }
    for said, commit in bad.items():
        code, _, errors = site.deploy(commit)
        assert code == 1
        assert "nothing was changed" in errors, errors
        assert said in errors or "test failed" in errors
        assert site.status()["current"] == good
        assert not (site.folder / "config.releases" / commit).exists()
    assert not [one for one in (site.folder / "config.releases").iterdir() if ".new-" in one.name]


def test_F23_what_a_repository_must_not_hold_is_refused(site: Site, tmp_path: Path) -> None:
    good = site.repository.commit("good")
    site.first(good)
    inside = site.repository.folder / "site"
    (inside / "escape").symlink_to("/etc/passwd")
    linked = site.repository.commit("linked")
    (inside / "escape").unlink()
    site.repository.git("rm", "-q", "--cached", "site/escape")
    gitlink = f"160000,{good},site/sub"
    site.repository.git("update-index", "--add", "--cacheinfo", gitlink)
    site.repository.git("commit", "-q", "-m", "a submodule")
    submodule = site.repository.git("rev-parse", "HEAD")
    for revision, said in (
        (linked, "is a link"),
        (submodule, "is a submodule"),
        ("no-such-branch", "no revision"),
        ("--output=/tmp/x", "no revision"),
        ("-h", "no revision"),
    ):
        code, output, errors = site.deploy("--", revision)
        assert code == 1, revision
        assert said in errors, (revision, errors)
    assert site.status()["current"] == good
    other = tmp_path / "plain"
    other.mkdir()
    for words, said in (
        (("main", "--repo", str(other)), "no revision"),
        (("main", "--repo", str(tmp_path / "absent")), "is no folder"),
        (("main", "--path", "nowhere"), "has no folder"),
    ):
        code, _, errors = site.deploy(*words)
        assert (code, said in errors) == (1, True), errors


def test_a_release_is_never_taken_for_another_folder_of_the_same_commit(site: Site) -> None:
    commit = site.repository.commit("good", **{"other/router.yaml": "version: 1\n"})
    site.first(commit)
    code, _, errors = site.deploy(commit, "--path", "other")
    assert (code, "exported from 'site'" in errors) == (1, True), errors
    assert site.deploy(commit)[0] == 0
    other = site.repository.commit("other", **{"other/router.yaml": "version: 1\n"})
    assert site.deploy(other)[0] == 0
    assert site.deploy(commit, "--path", "site")[0] == 0


def test_hooks_and_filters_of_a_repository_do_not_act(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "acted"
    site.repository.git("config", "filter.evil.smudge", f"touch {mark}")
    site.repository.git("config", "core.fsmonitor", f"touch {mark}; false")
    commit = site.repository.commit("good", **{".gitattributes": "*.yaml filter=evil\n"})
    mark.unlink(missing_ok=True)
    site.first(commit)
    assert not mark.exists()


def test_unsigned_commits_are_refused_where_a_signature_is_asked_for(
    site: Site, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    made = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=False
    )
    if made.returncode:
        pytest.skip("LOUD: ssh-keygen is not installed")
    signers = tmp_path / "signers"
    signers.write_text(f"a@example.org {key.with_suffix('.pub').read_text()}")
    plain = site.repository.commit("plain")
    words = ("--repo", str(site.repository.folder), "--path", "site", "--signers", str(signers))
    code, _, errors = site.deploy(plain, *words)
    assert (code, "is not signed" in errors) == (1, True), errors
    site.repository.git("config", "gpg.format", "ssh")
    site.repository.git("config", "user.signingkey", str(key))
    site.repository.git("config", "commit.gpgsign", "true")
    signed = site.repository.commit("signed")
    code, _, errors = site.deploy(signed, *words)
    assert code == 0, errors


def test_f101_a_signature_is_asked_for_until_told_otherwise_and_our_program_looks(
    site: Site, tmp_path: Path
) -> None:
    for name in ("known", "stranger"):
        key = str(tmp_path / name)
        made = subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=False
        )
        if made.returncode:
            pytest.skip("LOUD: ssh-keygen is not installed")
    signers = tmp_path / "signers"
    signers.write_text(f"a@example.org {(tmp_path / 'known.pub').read_text()}")
    git = site.repository.git
    git("config", "gpg.format", "ssh")
    git("config", "commit.gpgsign", "true")
    git("config", "user.signingkey", str(tmp_path / "known"))
    good = site.repository.commit("good")
    words = ("--repo", str(site.repository.folder), "--path", "site", "--signers", str(signers))
    code, _, errors = site.deploy(good, *words)
    assert code == 0, errors
    git("config", "user.signingkey", str(tmp_path / "stranger"))
    strange = site.repository.commit("strange")
    praise = {
        "ssh": "Good 'git' signature for a@example.org with ED25519 key x".replace("'", '"'),
        "openpgp": "[GNUPG:] GOODSIG 0000000000000000 a@example.org\n[GNUPG:] TRUST_ULTIMATE 0 pgp",
    }
    for form, said in praise.items():
        says_yes = tmp_path / f"says-yes-{form}"
        says_yes.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
        says_yes.chmod(0o755)
        git("config", f"gpg.{form}.program", str(says_yes))
    # A signature of the other form, which a program of the repository would have praised.
    text = git("cat-file", "commit", f"{strange}^")
    head, _, message = text.partition("\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(("gpgsig", " "))]
    pgp = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n aaaa\n -----END PGP SIGNATURE-----"
    (tmp_path / "forged").write_text("\n".join([*kept, pgp]) + f"\n\n{message}\n")
    forged = git("hash-object", "-t", "commit", "-w", str(tmp_path / "forged"))
    for commit in (strange, forged):
        code, _, errors = site.deploy(commit)
        assert (code, "is not signed by who may" in errors) == (1, True), errors
    assert site.status()["current"] == good
    assert site.deploy(strange, "--unsigned")[0] == 0
    git("config", "commit.gpgsign", "false")
    assert site.deploy(site.repository.commit("more"))[0] == 0


def test_f101_a_repeat_is_no_further_step_and_what_is_refused_is_taken_back(site: Site) -> None:
    one = site.repository.commit("one")
    site.first(one)
    site.start()
    two = site.repository.commit("two")
    for _ in range(2):
        assert site.deploy(two)[0] == 0
    history = lambda: [entry["commit"] for entry in site.status()["history"]]  # noqa: E731
    assert history() == [two, one]
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = f"listeners:\n  more: {{type: dimse, bind: '127.0.0.1:{busy.getsockname()[1]}'}}\n"
        three = site.repository.commit("three", **{"site/more.yaml": taken})
        code, _, errors = site.deploy(three)
    assert (code, "cannot listen" in errors) == (1, True), errors
    assert (site.status()["current"], history()) == (two, [two, one])
    assert set(scan(site.port, [instance(1, rows=8, columns=8)]).values()) == {0}
    wait_for(site.data, delivered=1)
    assert site.deploy("rollback")[0] == 0
    assert history() == [one]


def test_a_link_that_deploy_did_not_make_is_left_alone(site: Site) -> None:
    commit = site.repository.commit("good")
    site.link.symlink_to(site.repository.folder / "site")
    code, _, errors = site.deploy(commit, "--repo", str(site.repository.folder), "--path", "site")
    assert (code, "which deploy did not make" in errors) == (1, True), errors
    assert os.readlink(site.link) == str(site.repository.folder / "site")


def test_a_plain_folder_is_not_replaced_and_two_do_not_deploy_at_once(site: Site) -> None:
    commit = site.repository.commit("good")
    site.link.mkdir()
    code, _, errors = site.deploy(commit, "--repo", str(site.repository.folder))
    assert (code, "move it away" in errors) == (1, True)
    site.link.rmdir()
    code, _, errors = site.deploy(commit)
    assert (code, "give --repo" in errors) == (64, True)
    code, _, errors = site.deploy("status")
    assert (code, "is no release" in errors) == (1, True)
    site.first(commit)
    lock = site.folder / "config.releases" / ".lock"
    with subprocess.Popen(["flock", str(lock), "sleep", "30"]) as holding:
        wait_until(lambda: "somebody else" in site.deploy(commit)[2], 10, what="the lock is seen")
        holding.terminate()


def test_old_releases_are_taken_away_but_never_the_one_before(site: Site) -> None:
    commits = [site.repository.commit(f"rule {number}") for number in range(13)]
    site.first(commits[0])
    for commit in commits[1:]:
        assert site.deploy(commit)[0] == 0
    kept = {one.name for one in (site.folder / "config.releases").iterdir()} & set(commits)
    assert kept == set(commits[3:])
