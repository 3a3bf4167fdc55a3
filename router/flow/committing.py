"""Committing: verifies what stations ask of us and reports to them, and asks those with `commit`.

One thread keeps the time and verifies; each station is spoken to in a thread of its own, a bounded
number at once of those that are asked and of those that are reported to, so that one that hangs
holds up none. All that is under way is in the ledger, so a restart goes on where it was. A station that
is away is tried again, later and later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final, Literal

from router.clock import Clock
from router.dicom.uids import new_uid
from router.errors import Busy, Rejected, RouterError, StoreDown, StoreFull, Unreachable
from router.flow.commitment import Reports
from router.flow.looking import look_for
from router.flow.statuses import Statuses
from router.flow.verdict import verdict
from router.model.commitment import COMMITTED, CommitmentReport
from router.model.plan import Plan
from router.model.station import Retry, Station
from router.model.status import NO_SUCH_INSTANCE
from router.peers.dicom_commitment import Committing
from router.peers.peer import Peer
from router.peers.search import Searchable
from router.store.commitment_requests import Asking, CommitmentRequests
from router.store.commitments import CommitmentBook, Transaction
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics
from router.threads import Threads

TICK_SECONDS: Final = 1.0
MAX_STATIONS_AT_ONCE: Final = 8
"""So many are asked at once, and as many reported to."""
VERIFY_SECONDS_A_TURN: Final = 1.0
"""So long a turn verifies; what is left is due in the next, the longest waiting first."""
REPORT_SECONDS: Final = 3600.0
"""How long a station may take to report before it is asked again."""
SPEAK_SECONDS: Final = 600.0
"""How long speaking with a station may take at most; until then nobody else does."""
MAX_LOOKS: Final = 6
"""So often an object is looked for, within a quarter of an hour usually, until it is sent again."""
FIRST_REPORT_SECONDS: Final = 5.0
MOST_REPORT_SECONDS: Final = 600.0
VERIFY_AND_TRY_SECONDS: Final = 14 * 86400.0
"""Seven days to verify at most (`flow.verdict`), and at least seven to report."""
KEEP_SECONDS: Final = 30 * 86400.0
PRUNE_SECONDS: Final = 3600.0

_Talk = Literal["ask", "report"]


class Committer:
    """The working side of storage commitment; `run` is the thread, `ring` may be called by any."""

    def __init__(
        self,
        plan: Plan,
        book: CommitmentBook,
        requests: CommitmentRequests,
        reports: Reports,
        make_peer: Callable[[Station], Peer],
        statuses: Statuses,
        threads: Threads,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._book = book
        self._requests = requests
        self._reports = reports
        self._make_peer = make_peer
        self._statuses = statuses
        self._threads = threads
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._asks = {one.name for one in plan.stations.values() if one.commit and one.send}
        self._folders = {one.name for one in plan.stations.values() if one.kind == "folder"}
        self._lock = threading.Lock()
        self._speaking: set[tuple[_Talk, str]] = set()
        self._refused: dict[str, int] = {}
        self._wake = threading.Event()
        self._retiring = threading.Event()
        self._prune_at = 0.0

    def ring(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def retire(self) -> None:
        """Begin nothing more, and end."""
        self._retiring.set()
        self._wake.set()

    def is_busy(self) -> bool:
        """Whether a station is being spoken to."""
        with self._lock:
            return bool(self._speaking)

    def run(self) -> None:
        """Work until told to stop. A store that cannot be written is told and tried again."""
        while not (self._threads.stop.is_set() or self._retiring.is_set()):
            try:
                self.turn()
            except (StoreDown, StoreFull) as error:
                self._log.error("storage commitment waits", reason=str(error))
            self._clock.wait(self._wake, TICK_SECONDS)
            self._wake.clear()

    def turn(self) -> None:
        """One round: verify what is due, ask whom it is time to ask, report what is decided."""
        until = self._clock.monotonic() + VERIFY_SECONDS_A_TURN
        while self._clock.monotonic() < until and not self._retiring.is_set():
            transaction = self._book.to_verify()
            if transaction is None:
                break
            self._verify(transaction)
        for name, unasked in self._requests.sent_stations().items():
            if self._retiring.is_set():
                return
            if name not in self._asks:
                self._requests.settle_unasked(name)
            elif unasked and self._is_there(name):
                self._speak("ask", name, partial(self._ask, self._plan.stations[name]))
        while not self._retiring.is_set():
            busy = self._busy("report")
            if len(busy) >= MAX_STATIONS_AT_ONCE:
                break
            due = self._book.to_report(SPEAK_SECONDS, busy)
            if due is None:
                break
            self._speak("report", due.station, partial(self._report, due))
        if self._clock.monotonic() >= self._prune_at:
            self._prune_at = self._clock.monotonic() + PRUNE_SECONDS
            before = self._clock.now() - KEEP_SECONDS
            self._book.prune(before)
            self._requests.prune(before)

    def _verify(self, transaction: Transaction) -> None:
        now = self._clock.now()
        waited = max(0.0, now - transaction.asked_at)
        undecided = self._book.undecided(transaction.commitment_id)
        reasons = {
            position: reason
            for position, (reference, held) in undecided.items()
            if (reason := verdict(reference, held, self._asks, waited, self._folders)) is not None
        }
        # The older a question, the less often it is looked at: what it waits for takes that long.
        due_at = now + min(60.0, max(TICK_SECONDS, waited / 8))
        self._book.decide(transaction.commitment_id, reasons, due_at)

    def _is_there(self, name: str) -> bool:
        station = self._plan.stations[name]
        return station.active and self._statuses.state(name) != "offline"

    def _busy(self, talk: _Talk) -> frozenset[str]:
        with self._lock:
            return frozenset(name for kind, name in self._speaking if kind == talk)

    def _speak(self, talk: _Talk, name: str, what: Callable[[], None]) -> None:
        """Do it in a thread of the station, unless one is at it or too many are.

        Only the thread that keeps the time comes here, so that nobody else adds meanwhile.
        """
        busy = self._busy(talk)
        if name in busy or len(busy) >= MAX_STATIONS_AT_ONCE:
            return
        with self._lock:
            self._speaking.add((talk, name))

        def speak() -> None:
            try:
                what()
            except (StoreDown, StoreFull) as error:
                self._log.error("storage commitment waits", station=name, reason=str(error))
            finally:
                with self._lock:
                    self._speaking.discard((talk, name))
                self._wake.set()

        self._threads.start(f"commit-{talk}-{name}", speak)

    def _ask(self, station: Station) -> None:
        now = self._clock.now()
        give_up = station.retry.give_up_seconds
        asking = self._requests.ask(station.name, new_uid(), now + SPEAK_SECONDS, give_up)
        if asking is None:
            return
        ask = self._look if station.commit == "query" else self._request
        try:
            ask(station, asking)
        except (StoreDown, StoreFull):
            raise
        except RouterError as error:
            self._not_asked(station, asking, error)

    def _request(self, station: Station, asking: Asking) -> None:
        with closing(self._make_peer(station)) as peer:
            _speaking(peer).ask_commitment(
                asking.request,
                lambda: self._asked(station, asking),
                partial(self._reports.take, station),
            )

    def _look(self, station: Station, asking: Asking) -> None:
        """Search it. What is not there yet is looked for later and later, and then sent again."""
        stop = self._threads.stop.is_set
        with closing(self._make_peer(station)) as peer:
            if not isinstance(peer, Searchable):
                raise Rejected("a station of this kind cannot be searched")
            found = look_for(peer, asking.studies, SPEAK_SECONDS / 2, self._clock, stop)
        found |= dict.fromkeys(asking.notes, COMMITTED)
        self._refused.pop(station.name, None)
        self._metrics.commitments_requested.add(station.name, "asked")
        missing = {
            one
            for one, reason in found.items()
            if reason == NO_SUCH_INSTANCE and asking.asked[one] + 1 < MAX_LOOKS
        }
        kept = tuple(one for one, reason in found.items() if reason == COMMITTED)
        failed = {one: why for one, why in found.items() if why != COMMITTED and one not in missing}
        if kept or failed:
            report = CommitmentReport(asking.request.transaction_uid, kept, failed)
            self._reports.take(station, report, "looked for what was sent")
        if missing:
            words = f"{len(missing)} of {len(found)} not found there yet"
            delay = _delay(station.retry, min(asking.asked[one] for one in missing) + 1)
            due_at = self._clock.now() + delay
            self._requests.not_asked(asking.request_id, due_at, words, counts=True)
            self._log.info("not found yet, looked for again", station=station.name, reason=words)

    def _asked(self, station: Station, asking: Asking) -> None:
        self._requests.asked(asking.request_id, self._clock.now() + REPORT_SECONDS)
        self._refused.pop(station.name, None)
        self._metrics.commitments_requested.add(station.name, "asked")
        number = len(asking.request.references)
        self._log.info("commitment asked", station=station.name, instances=number)

    def _not_asked(self, station: Station, asking: Asking, error: RouterError) -> None:
        again = self._refused[station.name] = self._refused.get(station.name, 0) + 1
        delay = _delay(station.retry, again)
        due_at = self._clock.now() + self._clock.jitter(delay * 0.5, delay)
        counts = not isinstance(error, Unreachable | Busy)
        self._requests.not_asked(asking.request_id, due_at, str(error), counts=counts)
        self._metrics.commitments_requested.add(station.name, "refused" if counts else "away")
        self._log.warning("commitment not asked", station=station.name, reason=str(error))

    def _report(self, transaction: Transaction) -> None:
        station = self._plan.stations.get(transaction.station)
        if station is None or not station.active:
            reason = "the station is not active" if station else "the station is not configured"
            self._not_reported(transaction, reason)
            return
        told = self._book.report_of(transaction)
        if told is None:
            return
        try:
            with closing(self._make_peer(station)) as peer:
                _speaking(peer).report_commitment(told)
        except RouterError as error:
            self._not_reported(transaction, str(error))
            return
        self._book.reported(transaction.commitment_id)
        self._metrics.commitments_reported.add(station.name, "failed" if told.failed else "whole")
        self._log.info(
            "commitment reported",
            station=station.name,
            committed=len(told.committed),
            failed=len(told.failed),
        )

    def _not_reported(self, transaction: Transaction, reason: str) -> None:
        now = self._clock.now()
        self._metrics.commitments_reported.add(transaction.station, "not_taken")
        log = self._log.bind(station=transaction.station, reason=reason)
        if now - transaction.asked_at > VERIFY_AND_TRY_SECONDS:
            self._book.given_up(transaction.commitment_id, reason)
            log.error("commitment not reported, given up")
            return
        delay = FIRST_REPORT_SECONDS * 2.0 ** min(transaction.attempts, 60)
        delay = min(MOST_REPORT_SECONDS, delay)
        due_at = now + self._clock.jitter(delay * 0.5, delay)
        self._book.not_reported(transaction.commitment_id, due_at, reason)
        log.warning("commitment not reported, tried again")


def _speaking(peer: Peer) -> Committing:
    if not isinstance(peer, Committing):
        # It was a DICOM station when it asked, or was sent to.
        raise Rejected("only a station of kind dicom speaks Storage Commitment")
    return peer


def _delay(retry: Retry, failures: int) -> float:
    return min(retry.max_seconds, retry.first_seconds * retry.factor ** min(failures - 1, 60))
