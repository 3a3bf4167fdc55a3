"""Faults for a router under load: each is done to it, and over, when its function returns.

What a router must survive in any order: its processes killed or frozen, a destination that goes
away, aborts or refuses, a configuration that changes or cannot be read, strangers at its port.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp, Stored

STRANGERS: Final = 50
ROLES: Final = 4


class Destination:
    """A DICOM station that goes away and comes back on the same port."""

    def __init__(self) -> None:
        self._scp = ScriptedScp(Script(max_pdu_bytes=0))
        self._gone: list[ScriptedScp] = []
        self.port = self._scp.port

    @property
    def stored(self) -> Sequence[Stored]:
        """Everything that ever arrived."""
        return [one for scp in (*self._gone, self._scp) for one in tuple(scp.stored)]

    def go_away(self) -> None:
        """Break all associations; nobody listens any more."""
        self._scp.close()

    def come_back(self) -> None:
        """Listen again."""
        self._gone.append(self._scp)
        self._scp = ScriptedScp(Script(max_pdu_bytes=0), port=self.port)

    def behave(self, script: Script) -> None:
        """What the next associations meet."""
        self._scp.script = script

    def close(self) -> None:
        """End it."""
        self._scp.close()


@dataclass(frozen=True, slots=True)
class Victim:
    """The router, where it sends to, how long a fault lasts at most (seconds), and what chance says."""

    edge: Router
    destinations: Sequence[Destination]
    seconds: float
    rng: random.Random

    def last(self) -> None:
        """Let the fault last."""
        time.sleep(self.rng.uniform(self.seconds / 4, self.seconds))


def processes(edge: Router) -> list[psutil.Process]:
    """The processes of the roles."""
    assert edge.process is not None
    return psutil.Process(edge.process.pid).children(recursive=True)


def killed(victim: Victim) -> None:
    """F2: all processes at once."""
    victim.edge.kill()
    victim.edge.start()


def role_killed(victim: Victim) -> None:
    """F2: one process; its supervisor makes another."""
    chosen = victim.rng.choice(processes(victim.edge))
    chosen.kill()

    def is_replaced() -> bool:
        now = processes(victim.edge)
        return chosen not in now and len(now) == ROLES

    wait_until(is_replaced, 30, what="another process")


def role_frozen(victim: Victim) -> None:
    """F9: one process stands still for a while."""
    frozen = victim.rng.choice(processes(victim.edge))
    frozen.suspend()
    try:
        victim.last()
    finally:
        frozen.resume()


def destination_away(victim: Victim) -> None:
    """F16, F20: nobody answers at a station."""
    destination = victim.rng.choice(victim.destinations)
    destination.go_away()
    try:
        victim.last()
    finally:
        destination.come_back()


def destination_misbehaves(victim: Victim) -> None:
    """F15, F16: it aborts, is out of resources, does not answer, accepts nothing, or talks nonsense."""
    destination = victim.rng.choice(victim.destinations)
    script = victim.rng.choice(
        (
            Script(abort_at_pdu=3),
            Script(statuses=(0xA700,)),
            Script(statuses=("close",)),
            Script(statuses=("garbage",)),
            Script(reject=(2, 3, 1)),
        )
    )
    destination.behave(script)
    try:
        victim.last()
    finally:
        destination.behave(Script(max_pdu_bytes=0))


def reloaded(victim: Victim) -> None:
    """F22: a change that is right, or one that is not."""
    if victim.rng.random() < 1 / 3:
        broken = victim.edge.write("version: 1\nrulez: []\n", name="broken.yaml")
        victim.last()
        broken.unlink()
    else:
        number = victim.rng.randrange(10**6)
        text = f"version: 1\ntables:\n  change-{number}: {{A: B}}\n"
        victim.edge.write(text, name="change.yaml")
        victim.last()


def strangers(victim: Victim) -> None:
    """F13, F14: connections that say nothing, half a PDU, or nonsense, and a while later hang up."""
    with contextlib.ExitStack() as opened:
        for number in range(STRANGERS):
            try:
                sock = socket.create_connection(("127.0.0.1", victim.edge.port), timeout=10)
            except OSError:
                continue
            opened.callback(sock.close)
            said = (b"", b"\1\0\0\0\4\0\0\1", victim.rng.randbytes(200))[number % 3]
            with contextlib.suppress(OSError):
                sock.sendall(said)
        victim.last()


HARMLESS: Final[Mapping[str, Callable[[Victim], None]]] = {
    "role frozen": role_frozen,
    "destination away": destination_away,
    "destination misbehaves": destination_misbehaves,
    "reloaded": reloaded,
    "strangers": strangers,
}
KILLS: Final[Mapping[str, Callable[[Victim], None]]] = {
    "killed": killed,
    "role killed": role_killed,
}
