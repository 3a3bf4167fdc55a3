"""Probing: one look at one station, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable

from router.clock import Clock
from router.errors import RouterError
from router.model.station import Station
from router.peers.peer import Peer, Probe
from router.telemetry.log import Log


def probed(station: Station, make_peer: Callable[[Station], Peer], clock: Clock, log: Log) -> Probe:
    """What the station answers now; never raises."""
    began_at = clock.monotonic()
    try:
        peer = make_peer(station)
        try:
            return peer.probe()
        finally:
            peer.close()
    except RouterError as error:
        message = str(error)
    except Exception as error:  # noqa: BLE001 - thread boundary: one station's bug stops no other
        log.bug("probing failed", error)
        message = "internal error while probing"
    return Probe(False, clock.monotonic() - began_at, message)
