"""The query and retrieve services of role `receive`: who answers C-FIND, C-MOVE and C-GET.

Where no station may query the catalogue is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.flow.fetching import Fetcher
from router.flow.handing_out import HandingOut
from router.flow.operating import Operations
from router.flow.passing_on import PassingOn
from router.flow.querying import retrieve_hook, search_hooks
from router.flow.read_through import ReadThrough
from router.model.station import Station
from router.peers.search import Archive
from router.serve.holdings import Holdings
from router.serve.intaking import Receiving
from router.serve.peers import peer_maker
from router.serve.process import Role

# A peer is made for each search; without this each would ask for a token of its own.
_REST_SECONDS: Final = 300.0


def query_services(
    role: Role, receiving: Receiving, holdings: Holdings, ring: Callable[[], None]
) -> Operations:
    """What answers in this process, by `operate`."""
    clock, key = role.clock, receiving.mapping_key
    handing_out = HandingOut(
        lambda: role.plan, holdings.ledger, holdings.catalogue, holdings.giving, ring, clock
    )

    archives = _archives(role)
    fetcher = Fetcher(lambda: role.plan, receiving.intake, clock)
    read_through = ReadThrough(
        archives,
        lambda station: retrieve_hook(role.plan, station, key, clock.now()),
        fetcher,
        holdings.ledger,
        clock,
        role.metrics,
    )
    passing_on = PassingOn(
        archives, lambda station: search_hooks(role.plan, station, key, clock.now())
    )
    if any(station.query_retrieve for station in role.plan.stations.values()):
        holdings.load()
    return Operations(lambda: role.plan, holdings.finder, passing_on, read_through, handing_out)


def _archives(role: Role) -> Callable[[Station], Archive]:
    make_peer = peer_maker(role.plan, role.clock, role.metrics, rest_seconds=_REST_SECONDS)

    def make(station: Station) -> Archive:
        peer = make_peer(station)
        assert isinstance(peer, Archive), "the compiler passes on to those only"
        return peer

    return make
