"""The query and retrieve services of role `receive`: who answers C-FIND, C-MOVE and C-GET.

Where no station may query the catalogue is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from router.dimse.handlers import Operate
from router.flow.fetching import Fetcher
from router.flow.handing_out import HandingOut
from router.flow.operating import Operations
from router.flow.passing_on import PassingOn
from router.flow.querying import Change, identifier_hook
from router.flow.read_through import ReadThrough
from router.model.instance import Source
from router.model.recipe import Recipe
from router.model.station import Station
from router.peers.search import Archive
from router.plugs import morphs_by_name
from router.serve.holdings import Holdings
from router.serve.intaking import Receiving
from router.serve.peers import peer_maker
from router.serve.process import Role


def query_services(
    role: Role, receiving: Receiving, holdings: Holdings, ring: Callable[[], None]
) -> Operate:
    """What answers in this process."""
    clock, known = role.clock, morphs_by_name()
    handing_out = HandingOut(
        lambda: role.plan, holdings.ledger, holdings.catalogue, holdings.giving, ring, clock
    )

    def hook(station: Station, recipe: Recipe) -> Change:
        source = Source("query", "", role.plan.router.ae_title, "", station.name)
        context = receiving.hooks.context(role.plan, source, clock.now())
        return identifier_hook(recipe, known, context)

    def on_queries(station: Station) -> tuple[Change, Change]:
        hooks = station.hooks
        return hook(station, hooks.find_request), hook(station, hooks.find_response)

    archives = _archives(role)
    fetcher = Fetcher(lambda: role.plan, receiving.intake, clock)
    read_through = ReadThrough(
        archives,
        lambda station: hook(station, station.hooks.retrieve_request),
        fetcher,
        holdings.ledger,
        clock,
    )
    passing_on = PassingOn(archives, on_queries)
    if any(station.query_retrieve for station in role.plan.stations.values()):
        holdings.load()
    return Operations(
        lambda: role.plan, holdings.finder, passing_on, read_through, handing_out
    ).operate


def _archives(role: Role) -> Callable[[Station], Archive]:
    make_peer = peer_maker(role.plan, role.clock)

    def make(station: Station) -> Archive:
        peer = make_peer(station)
        assert isinstance(peer, Archive), "the compiler passes on to those only"
        return peer

    return make
