"""Moving: the deliveries of one C-MOVE on their way, and what the peer is told of them (PS3.4 C.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from router.clock import Clock
from router.dicom.identifier import encode_identifier
from router.dimse.handlers import Exchange, OperationAnswer, OperationRequest, SubOperations
from router.errors import Refused
from router.flow.retrieving import STILL_SECONDS, TELL_SECONDS
from router.flow.supply import Supply
from router.model.delivery import Priority
from router.model.query import DataElement
from router.model.recipe import Recipe
from router.model.rule import Owed
from router.model.station import Station
from router.model.status import (
    CANCELLED,
    PENDING,
    SUB_OPERATIONS_FAILED,
    SUCCESS,
    UNABLE_TO_PERFORM,
)
from router.store.ledger import SEND_PREFIX, DeliveryCounts, HeldVersion, Ledger
from router.store.retrievals import Asked, Counts

PENDING_SECONDS: Final = 1.0
LOOK_SECONDS: Final = (0.05, 0.5)
DELIVERIES_A_LOOK_SECOND: Final = 20_000
PATIENCE_SECONDS: Final = 60.0
MAX_LISTED: Final = 900
FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
_AWAY: Final = frozenset({"offline", "inactive"})
ByRecipe = Callable[[Sequence[HeldVersion]], dict[Recipe, list[int]]]


def is_away(ledger: Ledger, station: Station) -> bool:
    """Whether nothing can be sent to a station now."""
    status = ledger.station_statuses().get(station.name)
    return not station.active or (status is not None and status.state in _AWAY)


class Moving:
    """The deliveries of one C-MOVE on their way."""

    def __init__(
        self,
        ledger: Ledger,
        request: OperationRequest,
        station: Station,
        destination: Station,
        supply: Supply,
        by_recipe: ByRecipe,
        ring: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._request = request
        self._station = station
        self._destination = destination
        self._supply = supply
        self._ring = ring
        self._by_recipe = by_recipe
        self._clock = clock
        self._task: int | None = None
        self._told: Counts | None = None
        self._told_at = 0.0
        self._originator = request.source.calling_ae_title, request.message_id
        self._deliveries: tuple[int, ...] = ()

    def _owe(self, versions: Sequence[HeldVersion]) -> None:
        """Owe the instances to the destination. Raises Refused when some went away meanwhile."""
        by_recipe = self._by_recipe(versions)
        now = self._clock.now()
        rule = f"{SEND_PREFIX}{self._station.name}"
        for recipe, instance_ids in by_recipe.items():
            owed = Owed(self._destination.name, recipe, Priority.HIGH, rule)
            try:
                self._task = self._ledger.send(
                    instance_ids, owed, now, self._originator, joining=self._task
                )
            except KeyError:
                raise Refused("an instance was evicted meanwhile", UNABLE_TO_PERFORM) from None
        wanted = [one for ids in by_recipe.values() for one in ids]
        self._deliveries += self._ledger.latest_deliveries(wanted, self._destination.name)

    def watch(self, exchange: Exchange) -> Iterator[OperationAnswer]:
        """Pending answers once a second, and the last one."""
        clock = self._clock
        told_at = moved_at = clock.monotonic()
        least, most = LOOK_SECONDS
        patience = self._patience()
        before = None
        while True:
            if not self._supply.is_over:
                self._take_more()
            counts = self._counts()
            if self._supply.is_over and not counts.open:
                break
            if exchange.is_cancelled():
                yield self._ended(cancelled=True)
                return
            now = clock.monotonic()
            if counts != before:
                before, moved_at = counts, now
            if now - moved_at >= patience or is_away(self._ledger, self._destination):
                yield self._ended(comment=f"station {self._destination.name} does not take them")
                return
            if now - told_at >= PENDING_SECONDS:
                told_at = now
                yield OperationAnswer(PENDING, counts=told(counts))
            if self._supply.is_over:
                # Counting costs as many look-ups as there are deliveries.
                look = len(self._deliveries) / DELIVERIES_A_LOOK_SECOND
                exchange.rest(min(max(look, least), most))
        yield self._ended()

    def _take_more(self) -> None:
        fresh = self._supply.more()
        if self._supply.is_over:
            self._end_supply()
            return
        self._tell()
        if fresh:
            self._owe(fresh)
            self._ring()

    def close(self) -> None:
        """What is still queued is not sent any more; harmless after the end."""
        self._end_supply()
        task, self._task = self._task, None
        if task is not None:
            self._ledger.cancel([task], by=self._station.name)

    def _tell(self) -> None:
        """Have the task say what is still to come, or cannot be had; nothing of either needs no word."""
        supply, now = self._supply, self._clock.monotonic()
        if self._told is None and not supply.to_come and not supply.missing:
            return
        book = self._ledger.retrievals
        if self._task is None:
            asked = Asked(
                self._destination.name,
                supply.study_instance_uid,
                self._station.name,
                note=f"fetched from {supply.station}",
            )
            self._task = book.begin_move(asked, self._originator, Priority.HIGH)
        counts = Counts(supply.to_come, failed=len(supply.missing))
        if self._told is None or now - self._told_at >= (
            TELL_SECONDS if counts != self._told else STILL_SECONDS
        ):
            self._told, self._told_at = counts, now
            book.tell(self._task, counts, self._of_supply())

    def _end_supply(self) -> None:
        """Nothing more comes: what did not, has failed. Harmless where nothing was told."""
        if self._task is None or self._told is None:
            return
        self._told = None
        absent = self._supply.to_come + len(self._supply.missing)
        book = self._ledger.retrievals
        book.end(self._task, Counts(failed=absent), self._of_supply(), ok=not absent)

    def _of_supply(self) -> str:
        supply = self._supply
        words = f"{supply.to_come} objects of {supply.station} to come"
        return f"{words}, {len(supply.missing)} could not be had" if supply.missing else words

    def _patience(self) -> float:
        return max(PATIENCE_SECONDS, 2 * self._destination.limits.timeout_seconds)

    def _counts(self) -> DeliveryCounts:
        """Of what is owed, and of what is still to come or cannot be had."""
        found, supply = self._ledger.delivery_counts(self._deliveries), self._supply
        return DeliveryCounts(
            found.open + supply.to_come,
            found.delivered,
            found.warnings,
            found.failed + len(supply.missing),
        )

    def _ended(self, comment: str = "", *, cancelled: bool = False) -> OperationAnswer:
        counts = self._counts()
        uids = (*self._supply.missing, *self._ledger.not_delivered(self._deliveries, MAX_LISTED))
        self.close()
        return last_answer(self._request, counts, uids, comment, cancelled=cancelled)


def told(counts: DeliveryCounts) -> SubOperations:
    """The counts as an answer has them."""
    return SubOperations(counts.open, counts.delivered, counts.failed, counts.warnings)


def last_answer(
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
    final = SubOperations(remaining, counts.delivered, failed, counts.warnings)
    return OperationAnswer(status, comment, identifier=identifier, counts=final)
