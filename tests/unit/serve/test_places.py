"""Sockets, secrets, locks and folders: what a start needs, and what is said when it is not there."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from router.errors import Rejected
from router.model.listener import Listener
from router.model.station import Secret
from router.serve.listening import CannotListen, bind
from router.serve.places import Places, is_running
from router.serve.secrets import MAX_BYTES, read_secret
from router.store.lock import DataLock
from tests.support.inside import plan_of
from tests.support.process import PROJECT, environment, free_port, wait_until


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path / "config")


def listeners(plan, **places):
    made = {
        name: Listener(name, "dimse", host, port, ("EDGE",))
        for name, (host, port) in places.items()
    }
    return replace(plan, listeners=made)


def test_every_listener_is_bound_in_its_family(plan):
    bound = bind(listeners(plan, four=("127.0.0.1", 0), six=("::1", 0)))
    try:
        families = {name: sock.family for name, sock in bound.items()}
        assert families == {"four": socket.AF_INET, "six": socket.AF_INET6}
        for listening in bound.values():
            with socket.create_connection(listening.getsockname()[:2], timeout=5):
                pass
    finally:
        for listening in bound.values():
            listening.close()


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("127.0.0.1", None, "in use"),
        ("203.0.113.7", 0, "Cannot assign requested address"),
    ],
)
def test_what_cannot_be_bound_is_named_and_the_others_are_let_go(plan, host, port, reason):
    first = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if port is None else port
        with pytest.raises(CannotListen) as caught:
            bind(listeners(plan, good=("127.0.0.1", first), bad=(host, port)))
    assert str(caught.value).startswith(f"listener bad: cannot listen on {host}:{port}: ")
    assert reason in str(caught.value)
    assert caught.value.retry is False
    with socket.create_server(("127.0.0.1", first)):
        pass


def test_f12_a_privileged_port_is_told_with_what_it_needs(plan, monkeypatch):
    def refuse(_socket, _address):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CannotListen, match="lan: .*:104: Permission denied; .*CAP_NET_BIND_SERV"):
        bind(listeners(plan, lan=("127.0.0.1", 104)))
    with pytest.raises(CannotListen, match=":11112: Permission denied; write another bind$"):
        bind(listeners(plan, lan=("127.0.0.1", 11112)))


def test_a_router_may_start_again_at_once_on_the_same_port(plan):
    """Connections of the last run are still in TIME_WAIT."""
    port = free_port()
    one = listeners(plan, lan=("127.0.0.1", port))
    listening = bind(one)["lan"]
    client = socket.create_connection(("127.0.0.1", port))
    served, _ = listening.accept()
    served.close()
    client.close()
    listening.close()
    bind(one)["lan"].close()


def test_is_running_looks_and_never_touches(tmp_path):
    places = Places(tmp_path / "data")
    assert not is_running(places)
    lock = DataLock.acquire(places.data_dir, "boot-1", "0.1.0")
    before = (places.data_dir / "LOCK").read_bytes()
    assert is_running(places)
    script = (
        "import sys; from pathlib import Path; from router.serve.places import *;"
        "print(is_running(Places(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, places.data_dir],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=environment(),
        check=True,
    )
    assert done.stdout == "True\n"
    assert (places.data_dir / "LOCK").read_bytes() == before
    lock.release()
    assert not is_running(places), "the file is still there, the lock is not"


def test_places_are_all_in_the_data_directory(tmp_path):
    places = Places(tmp_path)
    for place in (places.ledger, places.keys, places.run):
        assert place.is_relative_to(tmp_path)


def secret_file(folder, name, text, mode=0o600):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_secret_is_read_when_it_is_asked_for(tmp_path, monkeypatch):
    secret = Secret("file", "secrets/token")
    with pytest.raises(Rejected):
        read_secret(secret, tmp_path)
    secret_file(tmp_path, "secrets/token", "canary-1\n")
    assert read_secret(secret, tmp_path) == "canary-1"
    secret_file(tmp_path, "secrets/token", "canary 2 \r\n\n")
    assert read_secret(secret, tmp_path) == "canary 2 ", "only line ends are taken off"
    monkeypatch.setenv("CLOUD_TOKEN", "from-the-environment")
    assert read_secret(Secret("env", "CLOUD_TOKEN"), tmp_path) == "from-the-environment"


def test_the_credentials_of_the_service_manager_come_first(tmp_path, monkeypatch):
    secret_file(tmp_path / "config", "token", "beside")
    secret_file(tmp_path / "credentials", "token", "managed")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert read_secret(Secret("file", "token"), tmp_path / "config") == "managed"
    (tmp_path / "credentials" / "token").unlink()
    assert read_secret(Secret("file", "token"), tmp_path / "config") == "beside"


@pytest.mark.parametrize("kind", ["missing", "a folder", "too large", "no text", "env"])
def test_p13_what_is_wrong_with_a_secret_is_told_by_its_name_alone(tmp_path, monkeypatch, kind):
    monkeypatch.delenv("NO_SUCH", raising=False)
    secret = Secret("env", "NO_SUCH") if "env" in kind else Secret("file", "token")
    if kind == "a folder":
        (tmp_path / "token").mkdir()
    if kind == "too large":
        secret_file(tmp_path, "token", "canary" * MAX_BYTES)
    if kind == "no text":
        (tmp_path / "token").write_bytes(b"canary\xff")
    with pytest.raises(Rejected) as caught:
        read_secret(secret, tmp_path)
    text = str(caught.value)
    assert secret.name in text
    assert "canary" not in text
    assert str(tmp_path) not in text


def test_the_data_directory_is_for_its_owner_alone(tmp_path):
    """Whatever the umask of the service says."""
    before = os.umask(0)
    try:
        DataLock.acquire(tmp_path / "data", "boot-1", "0.1.0").release()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "LOCK").stat().st_mode) == 0o600


def test_a_lock_that_somebody_waits_for_is_held_and_others_are_not_ours(tmp_path):
    places = Places(tmp_path)
    assert not is_running(places)
    with open(tmp_path / "LOCK", "w") as mine, open(tmp_path / "other", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def wait():
            with open(tmp_path / "other", "w") as again:
                fcntl.flock(again, fcntl.LOCK_EX)

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: "->" in Path("/proc/locks").read_text(), what="the other waits")
        assert not is_running(places)
        fcntl.flock(mine, fcntl.LOCK_EX)
        assert is_running(places)
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.join()
