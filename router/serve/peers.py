"""Peers: the working side of each station of a plan, made by the plug of its kind.

The kinds that come with the product are imported here, before roles are forked, which so share them.
"""

from __future__ import annotations

from collections.abc import Callable

import router.peers.dicom
import router.peers.dicomweb
import router.peers.folder  # noqa: F401 - see above
from router.clock import Clock
from router.model.plan import Plan
from router.model.station import Station
from router.peers.peer import Peer, PeerContext, Shared
from router.plugs import station_kinds
from router.serve.secrets import read_secret
from router.telemetry.metrics import Metrics


def peer_maker(
    plan: Plan, clock: Clock, metrics: Metrics | None = None, *, rest_seconds: float = 0.0
) -> Callable[[Station], Peer]:
    """Makes peers that call by our AE title, with the secrets and certificates of the plan.

    `rest_seconds` is how long connections and tokens are kept for the next peer of their station.
    """
    kinds = {kind.name: kind for kind in station_kinds()}
    context = PeerContext(
        calling_ae_title=plan.router.ae_title,
        read_secret=lambda secret: read_secret(secret, plan.folder),
        clock=clock,
        tls=plan.tls,
        count_token=(metrics or Metrics()).token_refreshes.add,
        shared=Shared(clock, rest_seconds),
    )

    def make_peer(station: Station) -> Peer:
        peer: Peer = kinds[station.kind].make(station, context)
        return peer

    return make_peer
