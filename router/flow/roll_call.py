"""A roll call: every station is asked once whether it is there, side by side and within a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from router.clock import Clock
from router.flow.probing import probed
from router.model.station import Station
from router.peers.peer import Peer, Probe
from router.telemetry.log import Log
from router.threads import side_by_side

AT_ONCE: Final = 16
SECONDS: Final = 60.0


def may_be_probed(station: Station) -> bool:
    """Whether there is anything to ask: not of a station that only sends, nor of an inactive one."""
    return station.active and bool(station.port or station.url or station.path)


def roll_call(
    stations: Iterable[Station], make_peer: Callable[[Station], Peer], clock: Clock, log: Log
) -> dict[str, Probe]:
    """What each of those that can be asked answers, by name. Nothing is sent but the question."""
    asked = [station for station in stations if may_be_probed(station)]
    tasks = {
        station.name: (lambda station=station: probed(station, make_peer, clock, log))
        for station in asked
    }
    found = side_by_side(tasks, AT_ONCE, SECONDS)
    silent = Probe(False, SECONDS, f"it has said nothing within {SECONDS:.0f} s")
    return {station.name: found.get(station.name, silent) for station in asked}
