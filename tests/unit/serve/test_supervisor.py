"""The supervisor as its roles and its service manager see it: restarts, giving up, stopping.

Each test runs a supervisor in a process of its own, with roles of a few lines and, where pauses are
measured, a clock that runs faster than that of the wall.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.support.process import PROJECT, environment, wait_until

HEAD = """\
import os, select, signal, socket, sys, time
from router.serve import supervisor
from router.telemetry.log import open_log

class Fast:
    SPEED = float(sys.argv[1])
    def monotonic(self): return time.monotonic() * self.SPEED
    def sleep(self, seconds): time.sleep(seconds / self.SPEED)

class Between:
    # Time that passes only while no role called bad is alive, so that a slow fork costs none.
    now = 0.0
    def monotonic(self): return self.now
    def sleep(self, seconds):
        time.sleep(0.001)
        (bad,) = [child.pid for child in router._children if child.name == "bad"]
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if not bad or os.waitid(os.P_PID, bad, flags) is not None: self.now += seconds

class Waiting:
    @staticmethod
    def select(read, write, failed, seconds):
        supervisor.time.sleep(seconds)
        return select.select(read, write, failed, 0)

supervisor.select = Waiting
supervisor.time = Fast() if Fast.SPEED else Between()
supervisor.POLL_SECONDS = 0.01 * Fast.SPEED or 0.2
log = open_log(sys.stderr, "json", {})

def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def run(**roles):
    global router
    router = supervisor.Supervisor(roles, log)
    sys.exit(router.run(lambda: say("started", os.getpid())))
def until_told():
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    while not told: time.sleep(0.01)
    return 0
"""


class Running:
    """A supervisor of these roles; what it said, line by line, and its log."""

    def __init__(self, roles, speed=1.0, sockets=()):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEAD + roles, str(speed), *map(str, sockets)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=sockets,
            cwd=PROJECT,
            env=environment(),
            text=True,
            start_new_session=True,
        )

    def line(self):
        """The next line, as words."""
        return self.process.stdout.readline().split()

    def end(self, timeout_seconds=20):
        """Its exit code, what it said since, and its log."""
        said, log = self.process.communicate(timeout=timeout_seconds)
        return (
            self.process.returncode,
            [line.split() for line in said.splitlines()],
            [json.loads(line) for line in log.splitlines() if line.startswith("{")],
        )


@pytest.fixture
def running():
    made = []

    def start(*arguments, **options):
        made.append(Running(*arguments, **options))
        return made[-1]

    yield start
    for one in made:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


CRASHING = """
def crash():
    say("crash", supervisor.time.monotonic())
    return 3
run(good=until_told, bad=crash)
"""


def test_a_role_that_crashes_is_started_again_more_and_more_slowly_until_the_router_ends(running):
    code, said, log = running(CRASHING, speed=0).end()
    assert code == 1, "the service manager must see it"
    starts = [float(words[1]) for words in said if words[0] == "crash"]
    pauses = [after - before for before, after in zip(starts, starts[1:], strict=False)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16], abs=0.5), "five more within a minute"
    ended = [line for line in log if line["event"] == "role ended"]
    assert {(line["role"], line["status"]) for line in ended} == {("bad", "exit status 3")}
    assert log[-1]["event"] == "role fails again and again, the router ends"


def test_a_role_that_fails_now_and_then_is_no_reason_to_end(running):
    """Six failures, more than a minute from one to the next."""
    roles = """
    def sometimes():
        time.sleep(70 / Fast.SPEED)
        say("crash")
        return 1
    run(bad=sometimes)
    """.replace("\n    ", "\n")
    router = running(roles, speed=400.0)
    assert router.line()[0] == "started"
    assert [router.line() for _ in range(8)] == [["crash"]] * 8
    router.process.send_signal(signal.SIGTERM)
    assert router.end()[0] == 0


def test_the_others_go_on_while_one_is_away(running):
    roles = """
def tick():
    say("tick", os.getpid())
    return until_told()
def crash():
    say("crash", os.getpid())
    os.kill(os.getpid(), signal.SIGSEGV)
run(good=tick, bad=crash)
"""
    code, said, log = running(roles, speed=0).end()
    ticks = [words for words in said if words[0] == "tick"]
    crashes = {words[1] for words in said if words[0] == "crash"}
    assert (code, len(ticks), len(crashes)) == (1, 1, 6)
    assert "killed by signal 11" in {line.get("status") for line in log}


def test_sigterm_stops_every_role_and_ends_with_0(running):
    router = running("run(one=until_told, two=until_told)")
    assert router.line()[0] == "started"
    router.process.send_signal(signal.SIGTERM)
    assert router.end(5)[0] == 0


def test_a_stop_that_comes_while_a_role_begins_is_not_lost(running):
    """The role has forked and not said yet how it wants to be stopped."""
    roles = """
def slow():
    say("begun")
    time.sleep(0.3)
    return until_told()
run(one=slow)
"""
    router = running(roles)
    while router.line() != ["begun"]:
        pass
    router.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert router.end()[0] == 0
    assert time.monotonic() - began < 5


def test_sigint_ends_too_and_a_closed_terminal_does_not(running):
    router = running("run(one=until_told)")
    assert router.line()[0] == "started"
    router.process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert router.process.poll() is None
    router.process.send_signal(signal.SIGINT)
    assert router.end(5)[0] == 0


def test_a_role_that_does_not_end_is_killed_after_the_drain_time(running):
    roles = """
def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("stubborn", os.getpid())
    while True: time.sleep(1)
run(one=stubborn)
"""
    router = running(roles, speed=50.0)
    words = {line[0]: int(line[1]) for line in (router.line(), router.line())}
    wait_until(lambda: is_ignoring(words["stubborn"], signal.SIGTERM), 5, what="it is stubborn")
    router.process.send_signal(signal.SIGTERM)
    assert router.end(10)[0] == 0
    wait_until(lambda: not os.path.exists(f"/proc/{words['stubborn']}"), 5, what="its end")


def is_ignoring(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        (mask,) = (line.split()[1] for line in status if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_sockets_outlive_a_role_and_who_calls_meanwhile_is_answered_by_its_successor(running):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        roles = """
listening = socket.socket(fileno=int(sys.argv[2]))
def serve():
    say("serve", os.getpid())
    peer, _ = listening.accept()
    peer.sendall(str(os.getpid()).encode())
    peer.close()
    os.kill(os.getpid(), signal.SIGKILL)
run(one=serve)
"""
        router = running(roles, speed=10.0, sockets=[listening.fileno()])
        answers = []
        for _ in range(3):
            with socket.create_connection(listening.getsockname(), timeout=10) as peer:
                answers.append(int(peer.recv(100)))
        assert len(set(answers)) == 3, "three processes, one socket"
        router.process.send_signal(signal.SIGTERM)
        assert router.end()[0] == 0


def test_roles_die_with_their_supervisor_and_leave_no_core(running):
    roles = """
import resource
def one():
    say("role", os.getpid(), resource.getrlimit(resource.RLIMIT_CORE)[1])
    return until_told()
run(one=one)
"""
    router = running(roles)
    found = {}
    while len(found) < 2:
        words = router.line()
        found[words[0]] = words[1:]
    pid, core = found["role"]
    assert core == "0"
    router.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(int(pid)), 5, what="the end of the role")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_role_whose_supervisor_died_before_it_could_ask_ends_itself(running):
    """Between fork and prctl the parent may be gone: nobody would ever stop such a role."""
    script = """
from router.serve.process import die_with_parent
die_with_parent(parent=os.getppid() + 1)
say("alive")
"""
    code, said, _ = running(script).end()
    assert (code, said) == (70, [])
