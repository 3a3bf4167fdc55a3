"""Git as it is run here: what is read is what its name says, and ssh is called in our way only."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import zlib
from pathlib import Path

import pytest

from router.config.git import NotDeployed, apart, check_signature, commit_of, contains, files_of
from router.config.remote import Access, fetch
from router.model.deployment import DeploySettings, SshKey
from tests.support.deployed import Repository, signing_key

FACTS = {"data": "/nowhere", "port": 1, "pacs": 2}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository", **FACTS)


def forge(repository: Repository, identity: str, kind: str, content: bytes) -> None:
    """Put other content under the name of an object, as who can write the store could."""
    path = repository.folder / ".git" / "objects" / identity[:2] / identity[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(f"{kind} {len(content)}\0".encode() + content))


def names(repository: Repository, commit: str) -> dict[str, bytes]:
    return {str(name): text for name, text in files_of(repository.folder, "site", commit)}


def test_f101_an_object_that_is_not_what_was_signed_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    key = signing_key(tmp_path / "key")
    signers = tmp_path / "signers"
    signers.write_text(f"a@example.org {key.with_suffix('.pub').read_text()}")
    for setting, value in (("format", "ssh"), ("ssh.allowedSignersFile", str(signers))):
        repository.git("config", f"gpg.{setting}", value)
    repository.git("config", "user.signingkey", str(key))
    repository.git("config", "commit.gpgsign", "true")
    commit = repository.commit("good")
    check_signature(repository.folder, commit, signers)
    assert set(names(repository, commit)) == {"router.yaml", "rules.test.yaml"}
    blob = repository.git("rev-parse", f"{commit}:site/router.yaml")
    held = names(repository, commit)["router.yaml"]
    forge(repository, blob, "blob", held.replace(b"good", b"evil"))
    repository.git("verify-commit", commit)  # git itself is content, and so would be a checkout
    with pytest.raises(NotDeployed, match="not what its name says"):
        names(repository, commit)
    forge(repository, blob, "blob", held)
    tree = repository.git("rev-parse", f"{commit}:site")
    forge(repository, tree, "tree", b"100644 router.yaml\0" + hashlib.sha1(b"x").digest())
    with pytest.raises(NotDeployed, match="not what its name says"):
        names(repository, commit)


def test_names_that_lead_outside_are_refused(repository: Repository, tmp_path: Path) -> None:
    blob = repository.commit("good") and repository.git("rev-parse", "HEAD:site/router.yaml")
    for name in (b"..", b".", b"a/b", b"\xff.yaml", b""):
        content = b"100644 " + name + b"\0" + bytes.fromhex(blob)
        raw = tmp_path / "tree"
        raw.write_bytes(content)
        tree = repository.git("hash-object", "-t", "tree", "--literally", "-w", str(raw))
        commit = repository.git("commit-tree", tree, "-m", "x")
        with pytest.raises(NotDeployed, match="outside|UTF-8"):
            list(files_of(repository.folder, "", commit))


def test_how_far_one_commit_is_from_another(repository: Repository) -> None:
    one, two, three = (repository.commit(rule) for rule in ("one", "two", "three"))
    repository.git("checkout", "-q", "-b", "side", one)
    side = repository.commit("side")
    folder = repository.folder
    assert apart(folder, one, three) == (2, 0) and apart(folder, side, three) == (2, 1)
    assert apart(folder, "f" * 40, three) is None
    assert contains(folder, three, two) and not contains(folder, three, side)
    assert commit_of(folder, "side") == side


def test_f101_ssh_is_called_with_one_key_and_one_list_of_hosts(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ssh keeps what it was called with, and runs the command of the other side."""
    commit = repository.commit("good")
    programs, said = tmp_path / "programs", tmp_path / "said"
    programs.mkdir()
    script = programs / "ssh"
    script.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >> ' + shlex.quote(str(said)) + "\n"
        'while [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    auth = SshKey(tmp_path / "a key", tmp_path / "known hosts")
    address = f"ssh://git@git.example:2222{repository.folder}"
    mirror = tmp_path / "mirror.git"
    fetch(mirror, DeploySettings(address, "main", auth=auth), Access())
    assert commit_of(mirror, "refs/heads/main") == commit
    words = said.read_text().splitlines()
    assert words[:2] == ["-F", "/dev/null"] and str(auth.key) in words
    options = {words[place + 1] for place, word in enumerate(words) if word == "-o"}
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"} <= options
    # The real ssh understands every one of them.
    given = [word for one in options if "Send" not in one for word in ("-o", one)]
    done = subprocess.run(
        ["/usr/bin/ssh", "-G", "-F", "/dev/null", *given, "git.example"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"userknownhostsfile {auth.known_hosts}" in done.stdout
    with pytest.raises(NotDeployed, match="cannot be fetched"):
        fetch(mirror, DeploySettings(address, "absent", auth=auth), Access())
    with pytest.raises(NotDeployed, match="not spoken"):
        fetch(mirror, DeploySettings(f"file://{repository.folder}", "main"), Access())
