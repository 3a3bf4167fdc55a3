"""One look at a branch: what is told of it, what a remote may cost, and whom it must prove to be."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from router.clock import Clock
from router.config.git import NotDeployed, commit_of
from router.config.load import load
from router.config.releases import Releases
from router.config.remote import Access, fetch
from router.model.deployment import DeploySettings
from router.model.plan import Plan
from router.model.station import Basic, Bearer, Secret, TlsProfile
from router.plugs import all_plugs
from router.serve import bounded, looking
from router.serve.bounded import Bounded
from router.serve.deploying import go_back
from router.serve.looking import Branch, look, note_by_hand, refresh
from tests.support.deployed import GitServer, Repository

AUTH = Basic("edge", Secret("file", "secret"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository", data=tmp_path / "data", port=1, pacs=2)
    made.more = f"deploy: {{repository: {made.folder}, path: site, require_signature: false}}\n"
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    made = GitServer(tmp_path)
    yield made
    made.close()


def plan_of(folder: Path) -> Plan:
    plan = load(folder, all_plugs()).plan
    assert plan is not None
    return plan


def branch_of(releases: Releases, folder: Path) -> Branch:
    found = Branch.of(releases, plan_of(folder))
    assert found is not None
    return found


def test_f101_a_repository_on_this_machine_is_read_in_place(
    repository: Repository, tmp_path: Path
) -> None:
    one = repository.commit("one")
    releases = Releases(tmp_path / "config")
    branch = branch_of(releases, repository.folder / "site")
    assert look(branch, Clock(), Bounded.wait).state == "stopped"
    assert (releases.current(), releases.mirror.exists()) == (one, False)
    branch = branch_of(releases, releases.link)
    assert look(branch, Clock(), Bounded.wait).state == "unchanged"
    two = repository.commit("two")
    assert look(branch, Clock(), Bounded.wait).commit == two
    assert go_back(releases).ok
    note_by_hand(branch)
    known = branch.book.read()
    assert (known.behind, known.ahead, known.base) == (1, 0, two)
    outcome = look(branch, Clock(), Bounded.wait)
    assert (outcome.ok, "rolled back" in outcome.message) == (True, True)
    assert releases.current() == one
    # Back to where the other release was: to be in use again is all it needs.
    repository.git("reset", "-q", "--hard", one)
    assert look(branch, Clock(), Bounded.wait).message == "the branch is in use"


def test_f101_a_plain_folder_is_left_alone_and_says_what_to_do(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit("one")
    site = repository.folder / "site"
    outcome = look(branch_of(Releases(site), site), Clock(), Bounded.wait)
    assert outcome.state == "failed" and "move it away" in outcome.message
    assert branch_of(Releases(site), site).book.read().failures == 1
    assert site.is_dir() and not site.is_symlink()


def test_f101_what_a_remote_sends_is_bounded_and_what_is_left_of_it_is_thrown_away(
    repository: Repository, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(GitServer.PASSWORD)
    repository.more = (
        f"deploy: {{repository: '{server.url}', path: site, require_signature: false, timeout: 20s,"
        f" auth: {{type: basic, username: edge, password: {{file: {tmp_path / 'secret'}}}}}}}\n"
    )
    repository.commit("one")
    releases = Releases(tmp_path / "config")
    branch = branch_of(releases, repository.folder / "site")
    assert refresh(branch, Clock(), Bounded.wait)[0].error == ""
    (repository.folder / "large").write_bytes(os.urandom(400_000))
    repository.commit("large")
    monkeypatch.setattr(bounded, "MAX_FILE_BYTES", 100_000)
    began = time.monotonic()
    known, _ = refresh(branch, Clock(), Bounded.wait)
    assert "cannot be fetched" in known.error and time.monotonic() - began < 20
    assert (known.failures, known.tip != "") == (1, True)
    monkeypatch.undo()
    litter = releases.mirror / "objects" / "litter"
    litter.write_bytes(b"x" * 1000)
    monkeypatch.setattr(looking, "_MOST_MIRROR_BYTES", 1000)
    known, goes_on = refresh(branch, Clock(), Bounded.wait)
    assert (known.error, known.failures, goes_on, litter.exists()) == ("", 0, True, False)
    assert known.tip == repository.git("rev-parse", "HEAD")


def test_f101_the_remote_proves_who_it_is_and_gets_the_secret_it_is_meant_for(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    commit = repository.commit("one")
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.secure(context)
    address = server.url.replace("http://", "https://")
    settings = DeploySettings(address, "main", timeout_seconds=10.0, auth=AUTH)
    profiles = {}
    for name, one in (("known", authority), ("stranger", stranger)):
        one.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        profiles[name] = TlsProfile(name, None, None, tmp_path / f"{name}.pem")
    mirror = tmp_path / "mirror.git"
    with pytest.raises(NotDeployed, match="certificate"):
        fetch(mirror, settings, Access(GitServer.PASSWORD, profiles["stranger"]))
    assert server.requests == [], "nothing was said to who is not known"
    fetch(mirror, settings, Access(GitServer.PASSWORD, profiles["known"]))
    assert commit_of(mirror, "refs/heads/main") == commit
    bearer = DeploySettings(address, "main", timeout_seconds=10.0, auth=Bearer(AUTH.password))
    with pytest.raises(NotDeployed, match="cannot be fetched"):
        fetch(mirror, bearer, Access(GitServer.PASSWORD, profiles["known"]))
    for secret in ("two\nlines", "a\x00b"):
        with pytest.raises(NotDeployed, match="not printable"):
            fetch(mirror, bearer, Access(secret, profiles["known"]))
