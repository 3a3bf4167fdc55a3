"""Making the working side of stations, in whichever role works with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.model.station import Station
from router.peers.peer import PeerContext
from router.plugs import station_kinds
from router.serve.process import Role
from router.serve.secrets import read_secret


def peer_maker(role: Role) -> Callable[[Station], Any]:
    """A function that makes the peer of a station; they share tokens and connections."""
    kinds = {kind.name: kind for kind in station_kinds()}
    context = PeerContext(
        calling_ae_title=role.plan.router.ae_title,
        read_secret=lambda secret: read_secret(secret, role.plan.folder),
        clock=role.clock,
        tls=role.plan.tls,
    )
    return lambda station: kinds[station.kind].make(station, context)
