"""Dispatch: whose turn it is. One thread settles what came back and leases what may go.

Every turn is one ledger transaction: outcomes in, leases out, for all stations together. A station
gets what its lanes can hold and no more (*bounded window*), in order of priority, study and arrival
(*fairness*, in the lease); its pace decides whether it gets anything (*slow start, back-off,
dead-station memory*, in flow.pace). One station's trouble is never another's: each has its own
desk and lanes. What another station may take too (`first_of`) is handed over to it between turns
while its own cannot, no more of it than the other one can hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from router.clock import Clock
from router.dicom.uid_names import uid_name
from router.errors import StoreFull
from router.flow.deliver import Courier
from router.flow.desk import Desk
from router.flow.lane import BatchEnded, Lane, Probed, Report, Sent
from router.flow.pace import Pace
from router.flow.probing import probed
from router.flow.settle import settle
from router.flow.statuses import Statuses
from router.model.delivery import Leased, Outcome, Result
from router.model.plan import Plan
from router.model.station import Station
from router.peers.peer import Peer, Probe
from router.store.ledger import Ledger, Settlement
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics
from router.threads import Threads

TICK_SECONDS = 1.0
DISTANCE_SECONDS = 0.01
BUSY_DISTANCE_SECONDS = 0.03
BUSY_LEASES = 8
FULL_SECONDS = 0.5
WINDOW_BATCHES = 2
# A station that asks for patience is left to itself so often, before others are asked instead.
BUSY_ENOUGH = 3


@dataclass(slots=True)
class _Desked:
    station: Station
    desk: Desk
    pace: Pace
    probing: bool = False
    warned: str = ""
    closed: str = ""

    def may_send(self) -> bool:
        """Whether something may be begun for the station now."""
        return self.station.active and not self.closed and self.pace.may_send()

    def free(self) -> int:
        """How many deliveries its lanes have room for."""
        window = self.pace.lanes * self.station.limits.batch_instances * WINDOW_BATCHES
        return window - self.desk.outstanding()


class Dispatcher:
    """Settles, leases, starts lanes. `run` is the thread; `ring` may be called from any other."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        courier: Courier,
        make_peer: Callable[[Station], Peer],
        statuses: Statuses,
        threads: Threads,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._courier = courier
        self._make_peer = make_peer
        self._statuses = statuses
        self._threads = threads
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._wake = threading.Event()
        self._retiring = threading.Event()
        self._settlements: list[Settlement] = []
        self._recalled: dict[str, list[int]] = {}
        self._next_turn_at = 0.0
        self._minute = -1
        known = ledger.station_statuses()
        self._desks = {
            name: _Desked(
                station,
                Desk(station.limits, clock, ordered=station.kind != "dicomweb"),
                self._pace(station),
                closed=known[name].closed if name in known else "",
            )
            for name, station in plan.stations.items()
            if station.send
        }

    def heard(self, name: str, probe: Probe) -> None:
        """A heartbeat that counts: a station that is away gets nothing until a probe answers."""
        self._take_report(Probed(name, probe.ok, probe.message, is_heartbeat=True))

    def ring(self) -> None:
        """There may be new work."""
        self._wake.set()

    def retire(self) -> None:
        """Lease nothing more, let what lanes hold be sent, and end."""
        self._retiring.set()
        self._wake.set()

    def run(self) -> None:
        """Turn until told to stop, then until the lanes have handed back what they hold."""
        for name, entry in self._desks.items():
            if self._statuses.state(name) == "offline":
                entry.pace.must_probe = True
        while True:
            stopping = self._threads.stop.is_set() or self._retiring.is_set()
            if stopping:
                self._close_desks()
            self._settlements += self._collect()
            self._keep_hours()
            self._turn({} if stopping else self._wants())
            if not stopping:
                self._hand_over()
            if stopping and self._all_handed_back():
                return
            if not stopping:
                self._probe_silent()
            self._clock.wait(self._wake, self._patience())
            self._keep_distance()
            self._wake.clear()

    def _keep_hours(self) -> None:
        """Nothing is begun outside a station's hours; what is being sent still leaves."""
        minute = self._clock.minute_of_day()
        if minute == self._minute:
            return
        self._minute = minute
        for name, entry in self._desks.items():
            limits = entry.station.limits
            closed = "" if limits.is_open(minute) else f"outside its hours, {limits.hours_written}"
            if closed == entry.closed:
                continue
            entry.closed = closed
            self._statuses.closed(name, closed)
            if closed:
                self._put_back(name, entry)

    def _keep_distance(self) -> None:
        """Under load turns keep a distance: each costs a disk sync, and the next one gathers."""
        left = self._next_turn_at - self._clock.monotonic()
        if left > 0:
            self._clock.wait(self._threads.stop, left)

    def _all_handed_back(self) -> bool:
        outstanding = any(entry.desk.outstanding() for entry in self._desks.values())
        return (
            not outstanding
            and self._reports.empty()
            and not self._settlements
            and not self._recalled
        )

    def _turn(self, wants: dict[str, int]) -> None:
        if not self._settlements and not wants and not self._recalled:
            return
        try:
            for name in tuple(self._recalled):
                self._ledger.release_station(name, self._recalled[name])
                del self._recalled[name]
            leased = self._ledger.turn(self._settlements, wants, self._clock.now())
        except StoreFull:
            # Outcomes are kept and written when there is room; until then nothing more is leased.
            self._log.warning("the ledger has no room, deliveries wait")
            self._clock.wait(self._threads.stop, FULL_SECONDS)
            return
        self._settlements = []
        distance = BUSY_DISTANCE_SECONDS if len(leased) >= BUSY_LEASES else DISTANCE_SECONDS
        self._next_turn_at = self._clock.monotonic() + distance
        self._hand_out(leased)

    def _pace(self, station: Station) -> Pace:
        limits = station.limits
        lanes = limits.requests if station.kind == "dicomweb" else limits.associations
        return Pace(max(1, lanes), self._clock)

    def _wants(self) -> dict[str, int]:
        wants: dict[str, int] = {}
        for name, waiting in self._ledger.waiting_stations().items():
            entry = self._desks.get(name)
            if entry is None or not waiting or not entry.may_send():
                continue
            free = entry.free()
            if free > 0:
                wants[name] = free
        return wants

    def _hand_over(self) -> None:
        """What waits for a station that cannot take it goes on to the next that can (`first_of`)."""
        away: dict[str, str] = {}
        for name in self._ledger.waiting_stations():
            why = self._why_away(name)
            if why:
                away[name] = why
        if not away:
            return
        ready = {
            name: free
            for name, entry in self._desks.items()
            if name not in away and entry.may_send() and not entry.pace.reason
            if (free := entry.free()) > 0
        }
        try:
            moved = self._ledger.hand_over(away, ready, self._clock.now())
        except StoreFull:
            return  # it waits where it is, until there is room
        if moved:
            self._log.info("deliveries handed over", deliveries=moved, away=", ".join(sorted(away)))
            self._wake.set()

    def _why_away(self, name: str) -> str:
        """Why a station cannot be sent to, as a person reads it behind its name; '' where it can."""
        entry = self._desks.get(name)
        if entry is None:
            return "is no station that may be sent to any more"
        pace = entry.pace
        if not entry.station.active:
            return "is disabled"
        if entry.closed:
            return f"is {entry.closed}"
        if pace.must_probe or self._statuses.state(name) == "offline":
            said = pace.reason or self._statuses.reason(name)
            return f"is offline: {said}" if said else "is offline"
        if pace.reason and pace.failures >= BUSY_ENOUGH:
            return f"has no room: {pace.reason}"
        return ""

    def _hand_out(self, leased: Sequence[Leased]) -> None:
        by_station: dict[str, list[Leased]] = {}
        for one in leased:
            by_station.setdefault(one.station, []).append(one)
        for name, batch in by_station.items():
            entry = self._desks[name]
            entry.desk.put(batch)
            self._open_lanes(name, entry)

    def _open_lanes(self, name: str, entry: _Desked) -> None:
        batch = entry.station.limits.batch_instances
        useful = min(entry.pace.lanes, 1 + entry.desk.outstanding() // max(1, batch))
        while entry.desk.open_lane(useful):
            lane = Lane(
                entry.desk,
                lambda: self._make_peer(entry.station),
                self._courier,
                self._take_report,
                lambda: entry.pace.lanes,
                self._clock,
                self._log.bind(station=name),
            )
            self._threads.start(f"send-{name}", lane.run)

    def _take_report(self, report: Report) -> None:
        self._reports.put(report)
        self._wake.set()

    def _collect(self) -> list[Settlement]:
        settlements: list[Settlement] = []
        while True:
            try:
                report = self._reports.get_nowait()
            except Empty:
                return settlements
            match report:
                case Sent():
                    takes_others = not self._desks[report.leased.station].pace.failures
                    self._react(report)
                    settlements.append(self._settle(report, takes_others=takes_others))
                case BatchEnded():
                    if report.clean:
                        self._desks[report.station].pace.delivered(clean_batch=True)
                case Probed():
                    self._probe_came_back(report)

    def _settle(self, sent: Sent, *, takes_others: bool) -> Settlement:
        entry = self._desks[sent.leased.station]
        name, outcome = sent.leased.station, sent.outcome
        self._metrics.send_attempts.add(name, outcome.result.value)
        if outcome.result is Result.DELIVERED:
            self._metrics.sent_bytes.add(name, amount=sent.leased.data_set_length)
            self._metrics.send_seconds.labels(name).observe(sent.seconds)
        if self._log.is_tapped:
            self._tell(sent)
        if not outcome.is_told_busy:
            return settle(outcome, sent.leased, entry.station, self._clock)
        return settle(
            outcome,
            sent.leased,
            entry.station,
            self._clock,
            takes_others=takes_others,
            others_wait=name in self._ledger.waiting_stations(),
            pause_seconds=entry.pace.pause_seconds(),
        )

    def _tell(self, sent: Sent) -> None:
        leased, outcome = sent.leased, sent.outcome
        facts = {
            "station": leased.station,
            "outcome": outcome.result.value,
            "sop_class": uid_name(leased.sop_class_uid) or "other",
            "bytes": leased.data_set_length,
            "seconds": round(sent.seconds, 4),
            "attempt": leased.attempts + 1,
            "status": outcome.status,
            "reason": outcome.message,
        }
        self._log.passed("delivery", facts, {"sop_instance_uid": leased.sop_instance_uid})

    def _react(self, sent: Sent) -> None:
        """What an outcome says of the station; deliveries nobody began are put back."""
        name, outcome = sent.leased.station, sent.outcome
        entry = self._desks[name]
        if outcome.result is Result.DELIVERED:
            entry.pace.delivered(clean_batch=False)
            entry.warned = ""
            self._statuses.online(name)
            return
        if outcome.was_tried:
            self._warn(name, entry, outcome)
        if outcome.result is Result.UNREACHABLE:
            if not entry.pace.must_probe:
                entry.pace.unreachable(outcome.message)
        elif outcome.result is Result.BUSY:
            if entry.pace.may_send():
                entry.pace.busy(outcome.message, outcome.retry_after_seconds)
        elif outcome.result is Result.HOLD:
            if entry.pace.may_send():
                entry.pace.refused(outcome.message, outcome.retry_after_seconds)
            self._statuses.offline(name, f"refuses us: {outcome.message}")
        else:
            return
        self._put_back(name, entry)

    def _put_back(self, name: str, entry: _Desked) -> None:
        """What no lane has begun waits in the ledger again, untouched."""
        recalled = [leased.delivery_id for leased in entry.desk.recall()]
        if recalled:
            self._recalled.setdefault(name, []).extend(recalled)

    def _warn(self, name: str, entry: _Desked, outcome: Outcome) -> None:
        """One line per kind of trouble, not one per instance."""
        kind = f"{outcome.result.value} {outcome.status} {outcome.message}"
        if entry.warned == kind:
            return
        entry.warned = kind
        self._log.warning(
            "delivery not made",
            station=name,
            result=outcome.result.value,
            status=outcome.status,
            reason=outcome.message,
        )

    def _probe_silent(self) -> None:
        for name, entry in self._desks.items():
            if entry.probing or not entry.pace.may_probe():
                continue
            entry.probing = True
            self._threads.start(f"probe-{name}", partial(self._probe, entry))

    def _probe(self, entry: _Desked) -> None:
        probe = probed(entry.station, self._make_peer, self._clock, self._log)
        if probe.ok:
            # Else the answer of the heartbeat that failed would stand beside "online".
            self._statuses.probed(entry.station.name, probe)
        self._take_report(Probed(entry.station.name, probe.ok, probe.message))

    def _probe_came_back(self, report: Probed) -> None:
        entry = self._desks.get(report.station)
        if entry is not None and not report.is_heartbeat:
            entry.probing = False
        if report.ok:
            if entry is not None and entry.pace.must_probe:
                entry.pace.probe_answered()
            elif entry is not None and entry.pace.may_send():
                entry.pace.reason = ""
            self._statuses.online(report.station)
            return
        if entry is not None and not (report.is_heartbeat and entry.pace.must_probe):
            entry.pace.probe_failed(report.message)
            self._put_back(report.station, entry)
        self._statuses.offline(report.station, report.message)

    def _close_desks(self) -> None:
        for entry in self._desks.values():
            self._put_back(entry.station.name, entry)
            entry.desk.close()

    def _patience(self) -> float:
        now = self._clock.monotonic()
        soonest = min(
            (
                entry.pace.resume_at - now
                for entry in self._desks.values()
                if entry.pace.resume_at > now
            ),
            default=TICK_SECONDS,
        )
        return min(TICK_SECONDS, max(0.01, soonest))
