"""The query and retrieve services of role `receive`: the catalogue in memory and who answers from it.

The ledger is opened a second time: what C-MOVE owes is on stable storage before it is told, while
the index of what was received may lag. Where no station may query nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.errors import StoreDown
from router.flow.deliver import Courier, RouterNames
from router.flow.fetching import Fetcher
from router.flow.finding import Finder
from router.flow.giving import Giving
from router.flow.handing_out import HandingOut
from router.flow.held import HeldHeaders
from router.flow.intake import Intake
from router.flow.operating import Operations
from router.flow.passing_on import PassingOn
from router.flow.querying import Change, identifier_hook
from router.flow.read_through import ReadThrough
from router.flow.received import ReceiveHooks, context_of
from router.model.instance import Source
from router.model.station import Station
from router.morph.context import MorphContext
from router.peers.search import Archive
from router.plugs import morphs_by_name
from router.serve.peers import peer_maker
from router.serve.process import Role
from router.serve.stores import open_ledger
from router.store.catalogue import Catalogue
from router.store.journal import Journal

# Half of the time, at most, is spent on loading: receiving goes on meanwhile.
BREATH_SECONDS: Final = 0.01


class QueryServices:
    """What answers C-FIND, C-MOVE and C-GET in this process."""

    def __init__(
        self,
        role: Role,
        journal: Journal,
        hooks: ReceiveHooks,
        intake: Intake,
        mapping_key: bytes,
        ring: Callable[[], None],
    ) -> None:
        self._ledger = open_ledger(role.places, role.clock, role.boot_id)
        self._catalogue = Catalogue(self._ledger, journal.keys)
        settings = role.plan.router
        known = morphs_by_name()
        courier = Courier(
            journal,
            self._ledger,
            known,
            RouterNames(settings.name, settings.organization, mapping_key),
        )

        headers = HeldHeaders(lambda: role.plan, journal, hooks)
        finder = Finder(self._catalogue, self._ledger, headers, role.clock)
        giving = Giving(self._ledger, journal, courier, role.clock)
        handing_out = HandingOut(
            lambda: role.plan, self._ledger, self._catalogue, giving, ring, role.clock
        )

        def context_for(station: Station) -> MorphContext:
            source = Source("query", "", settings.ae_title, "", station.name)
            return context_of(role.plan, source, role.clock.now(), mapping_key)

        def hooks_of(station: Station) -> tuple[Change, Change]:
            context = context_for(station)
            return (
                identifier_hook(station.hooks.find_request, known, context),
                identifier_hook(station.hooks.find_response, known, context),
            )

        def asked_for(station: Station) -> Change:
            context = context_for(station)
            return identifier_hook(station.hooks.retrieve_request, known, context)

        archives = _archives(role)
        fetcher = Fetcher(lambda: role.plan, intake, role.clock)
        read_through = ReadThrough(archives, asked_for, fetcher, self._ledger, role.clock)
        passing_on = PassingOn(archives, hooks_of)
        self.operate = Operations(
            lambda: role.plan, finder, passing_on, read_through, handing_out
        ).operate
        if any(station.query_retrieve for station in role.plan.stations.values()):
            role.threads.start("catalogue", lambda: self._load(role))

    def close(self) -> None:
        """Close the ledger and forget the catalogue."""
        self._catalogue.close()
        self._ledger.close()

    def _load(self, role: Role) -> None:
        began = role.clock.monotonic()
        try:
            self._catalogue.follow(lambda: _breathe(role))
        except StoreDown as error:  # the first query tries again
            role.log.warning("the catalogue cannot be loaded", reason=str(error))
            return
        seconds = round(role.clock.monotonic() - began, 3)
        damaged = self._catalogue.damaged
        role.log.info("catalogue loaded", seconds=seconds, damaged_series=damaged)


def _archives(role: Role) -> Callable[[Station], Archive]:
    make_peer = peer_maker(role.plan, role.clock)

    def make(station: Station) -> Archive:
        peer = make_peer(station)
        assert isinstance(peer, Archive), "the compiler passes on to those only"
        return peer

    return make


def _breathe(role: Role) -> None:
    role.clock.wait(role.threads.stop, BREATH_SECONDS)
