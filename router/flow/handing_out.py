"""Handing out: C-MOVE and C-GET from what is held here (PS3.4 C.4.2, C.4.3).

C-MOVE makes deliveries of high priority, which leave as all others do, and tells how far they are.
C-GET sends over the association of the request, through the same recipes. What leaves is what the
hooks make of it: those of receive of where it came from, those of send of who gets it. Newest
versions only; one object is open at a time, and the next is made ready while an answer is awaited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack

from router.clock import Clock
from router.dicom.outgoing import OutgoingDataSet, can_convert
from router.dicom.transfer_syntax import UNCOMPRESSED
from router.dimse.handlers import Exchange, OperationAnswer, OperationRequest
from router.errors import Refused, RouterError, Undeliverable
from router.flow.finding import as_they_came, original_keys
from router.flow.giving import Giving, Origin, origin
from router.flow.moving import PENDING_SECONDS, Moving, is_away, last_answer, told
from router.flow.supply import Supply, at_once
from router.model.plan import Plan
from router.model.query import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Identifier,
    Query,
)
from router.model.recipe import Recipe
from router.model.station import Station
from router.model.status import (
    MOVE_DESTINATION_UNKNOWN,
    PENDING,
    UNABLE_TO_PERFORM,
)
from router.peers.status import dimse_outcome
from router.pixels.syntaxes import obstacle
from router.store.catalogue import Catalogue
from router.store.ledger import DeliveryCounts, HeldVersion, Ledger


class HandingOut:
    """Serves C-MOVE and C-GET. Shared by threads; `ring` wakes the dispatcher."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        ledger: Ledger,
        catalogue: Catalogue,
        giving: Giving,
        ring: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._catalogue = catalogue
        self._giving = giving
        self._ring = ring
        self._clock = clock

    def move(
        self,
        request: OperationRequest,
        station: Station,
        destination: Station,
        supply: Supply,
        exchange: Exchange,
    ) -> Iterator[OperationAnswer]:
        """C-MOVE: have what is asked for delivered to a station, and say how far it is."""
        if is_away(self._ledger, destination):
            uids = tuple(one.sop_instance_uid for one in supply.more())
            status = DeliveryCounts(0, 0, 0, len(uids))
            comment = f"station {destination.name} is not online" if uids else ""
            yield last_answer(request, status, uids, comment)
            return

        def by_recipe(versions: Sequence[HeldVersion]) -> dict[Recipe, list[int]]:
            recipes = self._giving.recipes(versions, destination.hooks.send)
            found: dict[Recipe, list[int]] = {}
            for one in versions:
                found.setdefault(recipes[origin(one)], []).append(one.instance_id)
            return found

        moving = Moving(
            self._ledger, request, station, destination, supply, by_recipe, self._ring, self._clock
        )
        try:
            yield from moving.watch(exchange)
        finally:
            moving.close()
            supply.close()

    def destination(self, station: Station, ae_title: str) -> Station:
        """The station an AE title names; the one that asks, where several share the title.

        Raises Refused with 0xA801 for one we do not know, 0x0124 for one that is not this
        station's to choose.
        """
        if ae_title == station.ae_title and station.send:
            return station
        stations = self._plan().stations_by_ae_title.get(ae_title, ())
        known = [one for one in stations if one.send]
        if not known:
            raise Refused("the move destination is not known here", MOVE_DESTINATION_UNKNOWN)
        for one in known:
            if one.name in station.move_destinations:
                return one
        raise Refused(f"station {station.name} may not move to that destination")

    def is_away(self, destination: Station) -> bool:
        """Whether nothing can be sent there now."""
        return is_away(self._ledger, destination)

    def get(
        self, request: OperationRequest, station: Station, supply: Supply, exchange: Exchange
    ) -> Iterator[OperationAnswer]:
        """C-GET: send what is asked for over the same association."""
        versions: deque[HeldVersion] = deque()
        recipes: dict[Origin, Recipe] = {}
        ready: deque[_Ready] = deque()
        done = warnings = 0
        failed: list[str] = []
        told_at = self._clock.monotonic()

        def make_ready() -> None:
            if versions:
                one = versions.popleft()
                recipe = recipes[origin(one)]
                ready.append(self._made_ready(one, station, recipe, exchange))

        try:
            while versions or ready or not supply.is_over:
                left = len(versions) + len(ready) + supply.to_come
                lost = len(failed) + len(supply.missing)
                counts = DeliveryCounts(left, done, warnings, lost)
                if exchange.is_cancelled():
                    uids = (*supply.missing, *failed)
                    yield last_answer(request, counts, uids, cancelled=True)
                    return
                if self._clock.monotonic() - told_at >= PENDING_SECONDS:
                    told_at = self._clock.monotonic()
                    yield OperationAnswer(PENDING, counts=told(counts))
                if not versions and not ready:
                    # Never while an answer is awaited: it looks for a C-CANCEL.
                    versions.extend(supply.more())
                    recipes.update(self._giving.recipes(versions, station.hooks.send))
                    continue
                if not ready:
                    make_ready()
                with ready.popleft() as one:
                    status = one.sent(exchange, request.priority, make_ready)
                if dimse_outcome(status) != "delivered":
                    failed.append(one.sop_instance_uid)
                elif status:
                    warnings += 1
                else:
                    done += 1
            uids = (*supply.missing, *failed)
            yield last_answer(request, DeliveryCounts(0, done, warnings, len(uids)), uids)
        finally:
            supply.close()
            for one in ready:
                one.close()

    def held(self, query: Query, *, as_it_came: bool = False) -> Supply:
        """What a query names of what is held; `as_it_came` as for Finder.find."""
        return Supply(at_once(self._versions(query, as_it_came=as_it_came)))

    def studies(self, query: Query, *, as_it_came: bool = False) -> tuple[str, ...]:
        """The studies a query is about: those it names, or all that is held of its patient."""
        if query.level != "PATIENT":
            return _texts(query.keys.get(STUDY_INSTANCE_UID))
        self._catalogue.follow()
        patient = query.keys[PATIENT_ID].text
        asked: Identifier = {PATIENT_ID: query.keys[PATIENT_ID]}
        asked = original_keys(asked) if as_it_came else asked
        return tuple(
            study
            for study, found, _ in self._catalogue.studies(asked)
            if (as_they_came(found) if as_it_came else found).get(PATIENT_ID, "") == patient
        )

    def _versions(self, query: Query, *, as_it_came: bool) -> tuple[HeldVersion, ...]:
        keys = query.keys
        is_below = query.level not in {"PATIENT", "STUDY"}
        series: Sequence[str | None] = (
            _texts(keys.get(SERIES_INSTANCE_UID)) if is_below else (None,)
        )
        named = frozenset(_texts(keys.get(SOP_INSTANCE_UID))) if query.level == "IMAGE" else None
        return tuple(
            version
            for study in self.studies(query, as_it_came=as_it_came)
            for one in series
            for version in self._ledger.held_versions(study, one)
            if named is None or version.sop_instance_uid in named
        )

    def _made_ready(
        self, version: HeldVersion, station: Station, recipe: Recipe, exchange: Exchange
    ) -> _Ready:
        ready = _Ready(version.sop_instance_uid)
        opened = self._giving.opened(version, recipe, station.name, ready)
        if opened is None:
            return ready
        instance, parcel = opened
        accepted = exchange.accepted(instance.sop_class_uid)
        syntax = _syntax((parcel.syntaxes[0], instance.transfer_syntax_uid), accepted)
        if syntax is None:
            return ready
        try:
            ready.outgoing = parcel.outgoing(syntax)
        except RouterError:
            ready.outgoing = None
        return ready


class _Ready(ExitStack):
    """An object that is open and ready to leave by C-GET; without one nothing can be sent."""

    def __init__(self, sop_instance_uid: str) -> None:
        super().__init__()
        self.sop_instance_uid = sop_instance_uid
        self.outgoing: OutgoingDataSet | None = None

    def sent(self, exchange: Exchange, priority: int, ahead: Callable[[], None]) -> int:
        """Send it: the peer's status, or that of a failure of ours."""
        if self.outgoing is None:
            return UNABLE_TO_PERFORM
        try:
            return exchange.store(self.outgoing, priority, ahead)
        except Undeliverable:
            return UNABLE_TO_PERFORM


def _syntax(wished: Sequence[str], accepted: Collection[str]) -> str | None:
    """As it is declared or stored where the peer takes that, else uncompressed, decoded if need be."""
    for uid in wished:
        if uid in accepted:
            return uid
    stored = wished[-1]
    can_be = [one for one in accepted if can_convert(stored, one)]
    can_be += [one for one in UNCOMPRESSED if one in accepted and not obstacle(stored, one)]
    return next(iter(can_be), None)


def _texts(element: DataElement | None) -> tuple[str, ...]:
    return tuple(str(value) for value in element.values) if element else ()
