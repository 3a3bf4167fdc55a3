"""Commitment as stations ask for it: N-ACTION is answered once it is durable (PS3.4 J.3.2).

A report that comes for a request of ours (N-EVENT-REPORT) is settled here too, and answered once the
ledger has it. Nothing is confirmed here: `flow.committing` verifies and reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.clock import Clock
from router.dimse.commitment import (
    ALL_COMMITTED,
    REQUEST_ACTION,
    SOME_FAILED,
    WELL_KNOWN_INSTANCE,
    decode_report,
    decode_request,
)
from router.dimse.handlers import CommitmentMessage, StoreAnswer
from router.errors import BadDataset, Refused, StoreDown, StoreFull
from router.model.commitment import CommitmentReport
from router.model.plan import Plan
from router.model.station import Station
from router.model.status import (
    DUPLICATE_TRANSACTION,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_EVENT_TYPE,
    NO_SUCH_INSTANCE,
    RESOURCE_LIMITATION,
    SUCCESS,
)
from router.store.commitment_requests import CommitmentRequests
from router.store.commitments import CommitmentBook, Taken
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

ANSWERS: Final = {
    Taken.NEW: StoreAnswer(SUCCESS),
    Taken.AGAIN: StoreAnswer(SUCCESS),
    Taken.IN_USE: StoreAnswer(DUPLICATE_TRANSACTION, "the Transaction UID is in use"),
    Taken.TOO_MANY: StoreAnswer(RESOURCE_LIMITATION, "too many transactions open, try later"),
}


class Reports:
    """Settles what is reported of a request of ours, however it comes. Shared by threads."""

    def __init__(
        self, requests: CommitmentRequests, clock: Clock, log: Log, metrics: Metrics
    ) -> None:
        self._requests = requests
        self._clock = clock
        self._log = log
        self._metrics = metrics

    def take(
        self, station: Station, report: CommitmentReport, event: str = "commitment reported to us"
    ) -> int:
        """The status the station hears, once the ledger has it; `event` is the line of the log."""
        again_at = self._clock.now() + station.retry.first_seconds
        taken = self._requests.take_report(station.name, report, again_at)
        if taken is None:
            return INVALID_ARGUMENT
        results = {"delivered": taken.delivered, "again": taken.again, "dead": taken.dead}
        for result, number in results.items():
            if number:
                self._metrics.commitments_received.add(station.name, result, amount=number)
        tell = self._log.warning if report.failed else self._log.info
        tell(event, station=station.name, **results)
        return SUCCESS


class CommitmentProvider:
    """Answers N-ACTION and N-EVENT-REPORT of stations; see `dimse.handlers.Handlers.commit`."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        book: CommitmentBook,
        reports: Reports,
        ring: Callable[[], None],
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._book = book
        self._reports = reports
        self._ring = ring
        self._log = log
        self._metrics = metrics

    def commit(self, message: CommitmentMessage) -> StoreAnswer:
        """The answer. Raises BadDataset and Refused with a status (PS3.7 10.1.4.1.10)."""
        try:
            return self._answer(message)
        except (StoreFull, StoreDown) as error:
            raise Refused("out of resources, try again later", RESOURCE_LIMITATION) from error

    def _answer(self, message: CommitmentMessage) -> StoreAnswer:
        station = self._plan().stations.get(message.source.station or "")
        if station is None:
            raise Refused("only a configured station is answered")
        if message.sop_instance_uid != WELL_KNOWN_INSTANCE:
            raise BadDataset("not the well-known instance", NO_SUCH_INSTANCE)
        if message.is_action:
            return self._asked(station, message)
        if message.type_id not in (ALL_COMMITTED, SOME_FAILED):
            raise BadDataset("no such event type", NO_SUCH_EVENT_TYPE)
        report = decode_report(message.data_set, message.transfer_syntax_uid)
        status = self._reports.take(station, report)
        if status == SUCCESS:
            self._ring()
            return StoreAnswer(status)
        return StoreAnswer(status, "no request under this Transaction UID")

    def _asked(self, station: Station, message: CommitmentMessage) -> StoreAnswer:
        if message.type_id != REQUEST_ACTION:
            raise BadDataset("no such action", NO_SUCH_ACTION)
        if station.port is None or not station.host:
            # What cannot be reported must not be accepted: the modality would wait for ever.
            raise Refused("the station has no host and port to report to")
        request = decode_request(message.data_set, message.transfer_syntax_uid)
        taken = self._book.take(station.name, request)
        self._metrics.commitments_asked.add(station.name, taken.value)
        self._log.info(
            "commitment asked of us",
            station=station.name,
            instances=len(request.references),
            result=taken.value,
        )
        self._ring()
        return ANSWERS[taken]
