"""A branch that is followed: what is pushed runs when it may, and never otherwise."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.deployed import GitServer, Site, signing_key
from tests.support.process import free_port, wait_until
from tests.support.process import run as run_program

DEPLOY = """\
deploy:
  repository: {url}
  branch: main
  path: site
  every: {every}
  timeout: {timeout}
  auth: {{type: basic, username: edge, password: {{file: {secret}}}}}
  {signed}
webhooks:
  ops: {{url: "http://127.0.0.1:1/hook", secret: {{file: {secret}}}}}
"""


class Followed(Site):
    """A site whose configuration follows its own branch over HTTP, and whose commits are signed."""

    def __init__(self, folder: Path, *, signed: bool = True) -> None:
        super().__init__(folder)
        self.git = GitServer(folder)
        self.secret = folder / "secret"
        self.secret.write_text(f"{GitServer.PASSWORD}\n")
        self.signers = folder / "signers"
        self.key = signing_key(folder / "known")
        public = self.key.with_suffix(".pub").read_text()
        self.signers.write_text(f"a@example.org {public}")
        self.http = free_port()
        self.signed = signed
        self.write_section()
        if signed:
            self.sign_with(self.key)

    def write_section(self, every: str = "1s", timeout: str = "20s", **more: object) -> None:
        """What the next commits say."""
        signed = f"allowed_signers: {self.signers}" if self.signed else "require_signature: false"
        facts = {"url": self.git.url, "every": every, "timeout": timeout, "secret": self.secret}
        self.repository.more = DEPLOY.format(**{**facts, "signed": signed, **more})

    def sign_with(self, key: Path | None) -> None:
        git = self.repository.git
        git("config", "gpg.format", "ssh")
        git("config", "commit.gpgsign", "true" if key else "false")
        if key:
            git("config", "user.signingkey", str(key))

    def begin(self, rule: str = "one") -> str:
        """The first commit, deployed by hand, and a router that runs it."""
        commit = self.repository.commit(rule)
        self.first(commit)
        self.start()
        return commit

    def until(self, sync: str, commit: str, seconds: float = 30.0) -> dict:
        """Wait until this commit is in use, and the branch is so; the status then."""
        told: dict = {}

        def is_so() -> bool:
            code, output, _ = self.deploy("status", "--format", "json")
            told.clear()
            told.update(json.loads(output), code=code)
            return (told["sync"], told["current"]) == (sync, commit)

        wait_until(is_so, seconds, what=f"{sync} at {commit[:12]}, not {told}")
        return told

    def events(self, kind: str) -> list[dict]:
        """What webhooks are told of this kind."""
        with closing(sqlite3.connect(self.data / "ledger" / "ledger.db")) as ledger:
            rows = ledger.execute("SELECT data FROM webhook_event WHERE event = ?", (kind,))
            return [json.loads(data) for (data,) in rows]

    def log(self) -> str:
        assert self.edge.process is not None
        return self.edge.process.tail(10_000)

    def close(self) -> None:
        self.git.close()
        super().close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Followed]:
    made = Followed(tmp_path)
    yield made
    made.close()


def test_f101_what_is_pushed_runs_within_its_interval(site: Followed) -> None:
    one = site.begin()
    site.until("in_sync", one)
    two = site.repository.commit("two")
    told = site.until("in_sync", two)
    assert (told["code"], told["running"], told["behind"], told["ahead"]) == (0, True, 0, 0)
    assert told["history"][0]["by"] == "branch main" and told["changed_files"] == []
    wait_until(lambda: f'"revision": "{two[:12]}"' in site.log(), 10, what="it runs")
    status = json.loads(site.edge.command("status", "--format", "json")[1])
    assert status["deployment"]["sync"] == "in_sync"
    assert "deploy" in status["roles"]


def bad_commits(site: Followed, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(why it must be refused, commit at the tip of the branch), one after the other."""
    repository, git = site.repository, site.repository.git
    site.sign_with(None)
    yield "signature", repository.commit("unsigned")
    site.sign_with(signing_key(tmp_path / "stranger"))
    yield "signature", repository.commit("of a stranger")
    site.sign_with(site.key)
    repository.commit("a good one, to be tampered with")
    text = git("cat-file", "commit", "HEAD").replace("a good one", "another one")
    (tmp_path / "tampered").write_text(f"{text}\n")
    tampered = git("hash-object", "-t", "commit", "-w", str(tmp_path / "tampered"))
    git("reset", "-q", "--hard", tampered)
    yield "signature", tampered
    yield "tests", repository.commit("failing", expected="ct-1")
    yield "check", repository.commit("bad: [")
    (repository.folder / "site" / "escape").symlink_to("/etc/passwd")
    yield "files", repository.commit("a link")
    (repository.folder / "site" / "escape").unlink()
    kept, repository.more = repository.more, ""
    yield "followed", repository.commit("no section any more")
    repository.more = kept.replace("branch: main", "branch: other")
    yield "followed", repository.commit("another branch")
    repository.more = kept
    git("checkout", "-q", "--orphan", "fresh")
    rewound = repository.commit("from nothing")
    git("branch", "-M", "fresh", "main")
    yield "rewound", rewound


def test_F23_f101_what_may_not_run_never_does_and_everyone_is_told(
    site: Followed, tmp_path: Path
) -> None:
    site.write_section(every="1h")
    good = site.begin()
    site.until("in_sync", good)
    reasons = []
    for why, commit in bad_commits(site, tmp_path):
        code, _, errors = site.deploy("fetch")
        assert code == 1, (why, errors)
        told = site.until("refused", good)
        assert (told["refused"]["commit"], told["refused"]["why"]) == (commit, why), told
        assert told["code"] == 1
        reasons.append(why)
        assert [one["why"] for one in site.events("deployment.refused")] == reasons
        assert f'"commit": "{commit[:12]}"' in site.log()
        assert f"commit {commit[:12]}" in site.edge.command("audit", "list", "--format", "json")[1]
        if why == "check":
            assert "site/router.yaml:9:" in told["refused"]["problems"]
            assert "site/router.yaml:9:" in site.deploy("status")[1]
        code, _, errors = site.deploy("fetch")
        assert (code, "refused before" in errors) == (1, True), errors
        assert [one["why"] for one in site.events("deployment.refused")] == reasons, "once"
        if why != "rewound":
            site.sign_with(site.key)
            good = site.repository.commit(f"good after {len(reasons)}")
            code, _, errors = site.deploy("fetch")
            assert code == 0, errors
            assert site.until("in_sync", good)["refused"] is None
    # What follows a rewound branch is refused like it, until a person says so.
    more = site.repository.commit("more")
    assert site.deploy("fetch")[0] == 1
    assert site.until("refused", good)["refused"]["why"] == "rewound"
    assert site.deploy("main")[0] == 0
    site.until("in_sync", more)
    last = site.repository.commit("last")
    assert site.deploy("fetch")[0] == 0
    site.until("in_sync", last)


def test_f101_who_may_sign_is_asked_of_the_release_in_use_and_may_be_handed_on(
    site: Followed, tmp_path: Path
) -> None:
    site.write_section(every="1h", signed="allowed_signers: signers")
    inside = site.repository.folder / "site" / "signers"
    inside.parent.mkdir()
    inside.write_text(site.signers.read_text())
    one = site.begin()
    site.until("in_sync", one)
    newcomer = signing_key(tmp_path / "newcomer")
    public = newcomer.with_suffix(".pub").read_text()
    inside.write_text(f"{site.signers.read_text()}b@example.org {public}")
    site.sign_with(newcomer)
    site.repository.commit("lets itself in")
    assert site.deploy("fetch")[0] == 1
    assert site.until("refused", one)["refused"]["why"] == "signature"
    site.sign_with(site.key)
    let_in = site.repository.commit("lets it in")
    assert site.deploy("fetch")[0] == 0
    site.until("in_sync", let_in)
    site.sign_with(newcomer)
    by_it = site.repository.commit("by the newcomer")
    assert site.deploy("fetch")[0] == 0
    site.until("in_sync", by_it)


def test_f101_what_was_rolled_back_stays_so_until_the_branch_moves_on(site: Followed) -> None:
    one = site.begin()
    site.until("in_sync", one)
    two = site.repository.commit("two")
    site.until("in_sync", two)
    assert site.deploy("rollback")[0] == 0
    told = site.until("rolled_back", one)
    assert (told["code"], told["behind"], told["ahead"]) == (0, 1, 0)
    seen = told["last_fetch"]
    wait_until(lambda: site.status()["last_fetch"] > seen, 10, what="another look")
    assert site.edge.restart() is not None
    wait_until(lambda: site.status()["last_fetch"] > seen, 10, what="a look after the start")
    site.until("rolled_back", one)
    three = site.repository.commit("three")
    site.until("in_sync", three)
    assert site.deploy("rollback")[0] == 0
    site.until("rolled_back", one)
    assert site.deploy("main")[0] == 0
    site.until("in_sync", three)


def processes_with(word: str) -> list[tuple[int, bytes]]:
    """Processes of git, and all that can be read of how they were started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if word.encode() in line:
                found.append((int(pid), line + Path(f"/proc/{pid}/environ").read_bytes()))
        except OSError:
            continue
    return found


def test_f101_a_remote_that_hangs_fails_or_is_away_is_told_and_harms_nothing(
    site: Followed,
) -> None:
    site.write_section(every="1h", timeout="2s")
    one = site.begin()
    site.until("in_sync", one)
    two = site.repository.commit("two")
    assert site.deploy("fetch")[0] == 0
    site.until("in_sync", two)

    site.git.mode = "hang"
    began = time.monotonic()
    command = [sys.executable, "-m", "router", "deploy", "fetch", "--config", str(site.link)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asking:
        wait_until(lambda: bool(processes_with(site.git.url)), 10, what="git asks")
        started = processes_with(site.git.url)
        assert site.deploy("rollback")[0] == 0, "nobody waits for a remote that hangs"
        assert asking.stderr is not None
        said = asking.stderr.read()
        assert asking.wait(30) == 1
    assert "within 2 s" in said, said
    assert time.monotonic() - began < 15
    wait_until(lambda: not processes_with(site.git.url), 5, what="git is ended")
    assert site.until("unreachable", one)["failures"] == 1
    assert site.events("deployment.unreachable") == [{"branch": "main"}]

    site.git.mode = "fail"
    code, _, errors = site.deploy("fetch")
    assert (code, "500" in errors) == (1, True), errors
    told = site.until("unreachable", one)
    assert (told["code"], told["failures"]) == (1, 2)
    site.secret.write_text("wrong\n")
    site.git.mode = "serve"
    code, _, errors = site.deploy("fetch")
    assert code == 1 and "cannot be fetched" in errors
    assert len(site.events("deployment.unreachable")) == 1, "told once"
    site.secret.write_text(f"{GitServer.PASSWORD}\n")
    three = site.repository.commit("three")
    assert site.deploy("fetch")[0] == 0
    assert site.until("in_sync", three)["last_error"] == ""
    assert "the branch is followed again" in site.log()
    port = site.git.port
    site.git.close()
    code, _, errors = site.deploy("fetch")
    assert code == 1 and "cannot be fetched" in errors
    log = site.log()
    assert site.edge.stop() == 0
    site.git = GitServer(site.folder, port)

    # The password was nowhere anybody else looks: not in processes, log, status or files.
    for password in (GitServer.PASSWORD, "ZWRnZTpz"):  # as it is, and as basic authentication
        assert not [pid for pid, text in started if password.encode() in text]
        assert password not in log + json.dumps(told)
        held = [*site.folder.glob("config.releases/*"), *(site.data / "run").iterdir()]
        for path in [each for top in held for each in (top, *top.rglob("*")) if each.is_file()]:
            assert password.encode() not in path.read_bytes(), path


def test_f101_a_stop_does_not_wait_for_the_remote_and_leaves_no_process(site: Followed) -> None:
    site.write_section(timeout="10m")
    one = site.begin()
    site.until("in_sync", one)
    for stopped in (signal.SIGTERM, signal.SIGKILL):
        site.git.mode = "hang"
        wait_until(lambda: bool(processes_with(site.git.url)), 10, what="git asks")
        assert site.edge.process is not None
        began = time.monotonic()
        site.edge.process.signal(stopped)
        site.edge.process.wait(20)
        assert time.monotonic() - began < 10
        site.git.closing.set()
        wait_until(lambda: not processes_with(site.git.url), 10, what="git is ended")
        site.git.closing.clear()
        site.git.mode = "serve"
        site.edge.kill()
        site.edge.start()
    two = site.repository.commit("two")
    site.until("in_sync", two)


def test_f101_without_a_router_fetch_looks_itself_and_check_opens_no_connection(
    site: Followed, tmp_path: Path
) -> None:
    one = site.repository.commit("one")
    site.first(one)
    two = site.repository.commit("two")
    code, output, errors = site.deploy("fetch")
    assert (code, "no router runs" in output) == (0, True), errors
    assert site.status()["current"] == two
    asked = len(site.git.requests)
    trace = tmp_path / "trace"
    done = run_program(
        ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,execve", "-o", str(trace),
         sys.executable, "-m", "router", "check", "--config", str(site.link)],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert [one for one in calls if not one.startswith("execve")] == []
    assert len([one for one in calls if one.startswith("execve")]) == 1, "no program is called"
    assert len(site.git.requests) == asked
