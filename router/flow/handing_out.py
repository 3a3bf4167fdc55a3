"""Handing out: C-MOVE and C-GET from what is held here (PS3.4 C.4.2, C.4.3).

C-MOVE makes deliveries of high priority, which leave as all others do, and tells how far they are.
C-GET sends over the association of the request, through the same recipes. What leaves is what the
hooks make of it: those of receive of where it came from, those of send of who gets it. Newest
versions only; one object is open at a time, and the next is made ready while an answer is awaited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from router.clock import Clock
from router.dicom.identifier import encode_identifier
from router.dicom.outgoing import OutgoingDataSet, can_convert
from router.dimse.handlers import Exchange, OperationAnswer, OperationRequest, SubOperations
from router.errors import Refused, RouterError, Undeliverable
from router.flow.deliver import Courier
from router.flow.held import received_by
from router.model.delivery import Leased, Priority
from router.model.plan import Plan
from router.model.query import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Query,
)
from router.model.recipe import Recipe
from router.model.rule import Owed
from router.model.station import Station
from router.model.status import (
    CANCELLED,
    MOVE_DESTINATION_UNKNOWN,
    PENDING,
    SUB_OPERATIONS_FAILED,
    SUCCESS,
    UNABLE_TO_PERFORM,
)
from router.peers.status import dimse_outcome
from router.store.catalogue import Catalogue
from router.store.journal import Journal
from router.store.ledger import SEND_PREFIX, DeliveryCounts, HeldVersion, Ledger
from router.store.records import RecordDamaged

PENDING_SECONDS: Final = 1.0
LOOK_SECONDS: Final = (0.05, 0.5)
DELIVERIES_A_LOOK_SECOND: Final = 20_000
PATIENCE_SECONDS: Final = 60.0
MAX_LISTED: Final = 900
FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
_AWAY: Final = frozenset({"offline", "inactive"})


class HandingOut:
    """Serves C-MOVE and C-GET. Shared by threads; `ring` wakes the dispatcher."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        ledger: Ledger,
        catalogue: Catalogue,
        journal: Journal,
        courier: Courier,
        ring: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._catalogue = catalogue
        self._journal = journal
        self._courier = courier
        self._ring = ring
        self._clock = clock

    def move(
        self, request: OperationRequest, station: Station, query: Query, exchange: Exchange
    ) -> Iterator[OperationAnswer]:
        """C-MOVE: have what is asked for delivered to a station, and say how far it is.

        Raises Refused with 0xA801 for a destination we do not know, 0x0124 for one that is not
        this station's to choose.
        """
        plan = self._plan()
        destination = _destination(plan, station, request.move_destination)
        versions = self._versions(query)
        if not versions:
            yield OperationAnswer(SUCCESS, counts=SubOperations(None, 0, 0))
            return
        status = self._ledger.station_statuses().get(destination.name)
        if not destination.active or (status is not None and status.state in _AWAY):
            uids = tuple(one.sop_instance_uid for one in versions)
            counts = DeliveryCounts(0, 0, 0, len(versions))
            comment = f"station {destination.name} is not online"
            yield _last(request, counts, uids, comment)
            return
        moving = _Moving(self._ledger, request, station, destination, self._clock)
        try:
            recipes = self._recipes(versions, destination)
            by_recipe: dict[Recipe, list[int]] = {}
            for one in versions:
                by_recipe.setdefault(recipes[_origin(one)], []).append(one.instance_id)
            moving.begin(by_recipe)
            self._ring()
            yield from moving.watch(exchange)
        finally:
            moving.close()

    def get(
        self, request: OperationRequest, station: Station, query: Query, exchange: Exchange
    ) -> Iterator[OperationAnswer]:
        """C-GET: send what is asked for over the same association."""
        versions = deque(self._versions(query))
        recipes = self._recipes(versions, station)
        self._ledger.remember_recipes(set(recipes.values()))
        ready: deque[_Ready] = deque()
        done = warnings = 0
        failed: list[str] = []
        told_at = self._clock.monotonic()

        def make_ready() -> None:
            if versions:
                one = versions.popleft()
                recipe = recipes[_origin(one)]
                ready.append(self._made_ready(one, station, recipe, exchange))

        try:
            while versions or ready:
                left = len(versions) + len(ready)
                counts = DeliveryCounts(left, done, warnings, len(failed))
                if exchange.is_cancelled():
                    yield _last(request, counts, failed, cancelled=True)
                    return
                if self._clock.monotonic() - told_at >= PENDING_SECONDS:
                    told_at = self._clock.monotonic()
                    yield OperationAnswer(PENDING, counts=_told(counts))
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
            yield _last(request, DeliveryCounts(0, done, warnings, len(failed)), failed)
        finally:
            for one in ready:
                one.close()

    def _versions(self, query: Query) -> tuple[HeldVersion, ...]:
        """What a query names of what is held."""
        self._catalogue.follow()
        keys = query.keys
        studies: Sequence[str] = _texts(keys.get(STUDY_INSTANCE_UID))
        series: Sequence[str | None] = (None,)
        if query.level == "PATIENT":
            patient = keys[PATIENT_ID].text
            studies = [
                study
                for study, attributes, _ in self._catalogue.studies({PATIENT_ID: keys[PATIENT_ID]})
                if attributes.get(PATIENT_ID, "") == patient
            ]
        elif query.level != "STUDY":
            series = _texts(keys.get(SERIES_INSTANCE_UID))
        named = frozenset(_texts(keys.get(SOP_INSTANCE_UID))) if query.level == "IMAGE" else None
        return tuple(
            version
            for study in studies
            for one in series
            for version in self._ledger.held_versions(study, one)
            if named is None or version.sop_instance_uid in named
        )

    def _recipes(
        self, versions: Iterable[HeldVersion], destination: Station
    ) -> dict[tuple[str, str | None], Recipe]:
        """By origin: the pinned receive hook, then the send hook of who gets them.

        Raises Refused where no record of an origin can be read: what its hook did is not known.
        """
        found: dict[tuple[str, str | None], Recipe] = {}
        missing: set[tuple[str, str | None]] = set()
        for one in versions:
            origin = _origin(one)
            if origin in found:
                continue
            held = self._ledger.instance(one.instance_id)
            try:
                if held is not None:
                    found[origin] = received_by(self._journal, held).then(destination.hooks.send)
                    continue
            except RecordDamaged:
                pass
            missing.add(origin)
        if not missing <= found.keys():
            raise Refused("an instance cannot be read", UNABLE_TO_PERFORM)
        return found

    def _made_ready(
        self, version: HeldVersion, station: Station, recipe: Recipe, exchange: Exchange
    ) -> _Ready:
        held = self._ledger.instance(version.instance_id)
        ready = _Ready(version.sop_instance_uid)
        if held is None or held.record is None:
            return ready
        instance = held.instance
        leased = Leased(
            0,
            held.instance_id,
            station.name,
            recipe.digest,
            Priority.HIGH,
            0,
            self._clock.now(),
            held.record,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.study_instance_uid,
            instance.transfer_syntax_uid,
            instance.data_set_length,
        )
        syntax = _syntax(instance.transfer_syntax_uid, exchange.accepted(instance.sop_class_uid))
        if syntax is None:
            return ready
        try:
            parcel = ready.enter_context(self._courier.parcels([leased]))[0]
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


class _Moving:
    """The deliveries of one C-MOVE on their way."""

    def __init__(
        self,
        ledger: Ledger,
        request: OperationRequest,
        station: Station,
        destination: Station,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._request = request
        self._station = station
        self._destination = destination
        self._clock = clock
        self._tasks: list[int] = []
        self._deliveries: tuple[int, ...] = ()

    def begin(self, by_recipe: dict[Recipe, list[int]]) -> None:
        """Owe the instances to the destination. Raises Refused when some went away meanwhile."""
        request, now = self._request, self._clock.now()
        originator = request.source.calling_ae_title, request.message_id
        rule = f"{SEND_PREFIX}{self._station.name}"
        for recipe, instance_ids in by_recipe.items():
            owed = Owed(self._destination.name, recipe, Priority.HIGH, rule)
            try:
                self._tasks.append(self._ledger.send(instance_ids, owed, now, originator))
            except KeyError:
                raise Refused("an instance was evicted meanwhile", UNABLE_TO_PERFORM) from None
        wanted = [one for ids in by_recipe.values() for one in ids]
        self._deliveries = self._ledger.latest_deliveries(wanted, self._destination.name)

    def watch(self, exchange: Exchange) -> Iterator[OperationAnswer]:
        """Pending answers once a second, and the last one."""
        clock, ledger = self._clock, self._ledger
        told_at = moved_at = clock.monotonic()
        least, most = LOOK_SECONDS
        # Counting costs as many look-ups as there are deliveries.
        look_seconds = min(max(len(self._deliveries) / DELIVERIES_A_LOOK_SECOND, least), most)
        patience = self._patience()
        counts = before = ledger.delivery_counts(self._deliveries)
        while counts.open:
            if exchange.is_cancelled():
                yield self._ended(cancelled=True)
                return
            now = clock.monotonic()
            if counts != before:
                before, moved_at = counts, now
            if now - moved_at >= patience or self._is_away():
                yield self._ended(comment=f"station {self._destination.name} does not take them")
                return
            if now - told_at >= PENDING_SECONDS:
                told_at = now
                yield OperationAnswer(PENDING, counts=_told(counts))
            exchange.rest(look_seconds)
            counts = ledger.delivery_counts(self._deliveries)
        yield self._ended()

    def close(self) -> None:
        """What is still queued is not sent any more; harmless after the end."""
        tasks, self._tasks = self._tasks, []
        if tasks:
            self._ledger.cancel(tasks, by=self._station.name)

    def _patience(self) -> float:
        return max(PATIENCE_SECONDS, 2 * self._destination.limits.timeout_seconds)

    def _is_away(self) -> bool:
        status = self._ledger.station_statuses().get(self._destination.name)
        return status is not None and status.state in _AWAY

    def _ended(self, comment: str = "", *, cancelled: bool = False) -> OperationAnswer:
        counts = self._ledger.delivery_counts(self._deliveries)
        uids = self._ledger.not_delivered(self._deliveries, MAX_LISTED)
        self.close()
        return _last(self._request, counts, uids, comment, cancelled=cancelled)


def _destination(plan: Plan, station: Station, ae_title: str) -> Station:
    """The station an AE title names; the one that asks, where several share the title."""
    if ae_title == station.ae_title and station.send:
        return station
    known = [one for one in plan.stations_by_ae_title.get(ae_title, ()) if one.send]
    if not known:
        raise Refused("the move destination is not known here", MOVE_DESTINATION_UNKNOWN)
    for one in known:
        if one.name in station.move_destinations:
            return one
    raise Refused(f"station {station.name} may not move to that destination")


def _origin(version: HeldVersion) -> tuple[str, str | None]:
    """What decides the receive hook that was pinned to an instance."""
    return version.plan_digest, version.source_station


def _syntax(source_uid: str, accepted: Collection[str]) -> str | None:
    """As it is stored where the peer takes that, else what it can be written as."""
    if source_uid in accepted:
        return source_uid
    return next((one for one in accepted if can_convert(source_uid, one)), None)


def _texts(element: DataElement | None) -> tuple[str, ...]:
    return tuple(str(value) for value in element.values) if element else ()


def _told(counts: DeliveryCounts) -> SubOperations:
    return SubOperations(counts.open, counts.delivered, counts.failed, counts.warnings)


def _last(
    request: OperationRequest,
    counts: DeliveryCounts,
    not_delivered: Sequence[str],
    comment: str = "",
    *,
    cancelled: bool = False,
) -> OperationAnswer:
    """The last answer: what is open still has failed, unless the peer cancelled it."""
    remaining = counts.open if cancelled else None
    failed = counts.failed if cancelled else counts.failed + counts.open
    delivered = counts.delivered + counts.warnings
    status = SUCCESS
    if cancelled:
        status = CANCELLED
    elif failed:
        status = SUB_OPERATIONS_FAILED if delivered else UNABLE_TO_PERFORM
    elif counts.warnings:
        status = SUB_OPERATIONS_FAILED
    identifier = None
    if failed and not_delivered:
        listed = DataElement("UI", tuple(not_delivered[:MAX_LISTED]))
        keys = {FAILED_SOP_INSTANCE_UID_LIST: listed}
        identifier = encode_identifier(keys, request.transfer_syntax_uid)
    told = SubOperations(remaining, counts.delivered, failed, counts.warnings)
    return OperationAnswer(status, comment, identifier=identifier, counts=told)
