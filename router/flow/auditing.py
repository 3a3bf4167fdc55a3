"""Auditing: events of this process into the trail at once, and what the ledger did soon after.

`AuditLog` is for whoever does something that is to be told: who may ask, who asked for what. What
would be told again and again of the same matter is told once in five minutes. `Auditor` is a thread
that tells what was received, sent and deleted, from the ledger's own rows. A trail that cannot be
written stops nobody's images: that is counted, and told in the log.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.flow.turns import take_turns, unless_in_trouble
from router.model.audit import (
    MINOR_FAILURE,
    SERIOUS_FAILURE,
    SUCCESS,
    AuditedStudy,
    AuditEvent,
    Participant,
    Patient,
    RoleName,
)
from router.model.plan import Plan
from router.store.audit import AuditEntry, AuditTrail
from router.store.audit_due import Deleted, Due, Received, Sent, Whose, tell_due, whose
from router.telemetry.audit_message import AuditSource, audit_message
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

QUIET_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 5.0
REPEAT_SECONDS: Final = 300.0
PRUNE_SECONDS: Final = 3600.0
_KEPT: Final = 4096
_LONGEST: Final = 200


class AuditLog:
    """Writes events into the trail as they happen. Safe for threads."""

    def __init__(
        self, trail: AuditTrail, plan: Plan, clock: Clock, log: Log, metrics: Metrics
    ) -> None:
        self._trail = trail
        self._plan = plan
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._lock = threading.Lock()
        self._told: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now()

    def note(self, event: AuditEvent) -> None:
        """Write it; durable when this returns. What cannot be written is told in the log."""
        try:
            self._trail.append([entry_of(event, self._plan)])
        except (StoreDown, StoreFull) as error:
            self._metrics.audit_lost.add(event.kind)
            self._log.error("the audit trail cannot be written", kind=event.kind, reason=str(error))
        else:
            self._metrics.audit_events.add(event.kind)

    def is_news(self, *matter: str) -> bool:
        """Whether this matter was not told in the last minutes; it counts as told now."""
        now = self._clock.monotonic()
        with self._lock:
            if now < self._told.get(matter, float("-inf")) + REPEAT_SECONDS:
                return False
            self._told[matter] = now
            self._told.move_to_end(matter)
            while len(self._told) > _KEPT:
                self._told.popitem(last=False)
        return True

    def whose(self, study_instance_uid: str) -> Whose:
        """The patient of a study held here; nobody where that cannot be read."""
        try:
            return whose(self._trail, study_instance_uid)
        except StoreDown:
            return Whose(Patient())

    def accessed(self, who: str, address: str, study_instance_uid: str) -> None:
        """Somebody was shown images or patient data of a study."""
        if not self.is_news("accessed", who, address, study_instance_uid):
            return
        found = self.whose(study_instance_uid)
        self.note(
            AuditEvent(
                "accessed",
                self.now(),
                who,
                study_instance_uid,
                participants=(Participant(who, is_requestor=True, address=address),),
                studies=(AuditedStudy(study_instance_uid, {}, found.accession_number),),
                patient=found.patient,
            )
        )

    def close(self) -> None:
        """Close the trail; harmless when closed."""
        self._trail.close()


class Auditor:
    """Tells what the ledger did; `run` is its thread."""

    def __init__(
        self,
        trail: AuditTrail,
        plan: Plan,
        clock: Clock,
        log: Log,
        metrics: Metrics,
        stop: threading.Event,
        has_successor: Callable[[], bool],
    ) -> None:
        self._trail = trail
        self._plan = plan
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._stop = stop
        self._has_successor = has_successor

    def run(self) -> None:
        """Tell again and again until told to stop, or until another does it."""
        prune_at = self._clock.monotonic() + LOOK_SECONDS

        def turn() -> float:
            nonlocal prune_at
            while self.tell() and not self._stop.is_set():
                pass
            if self._clock.monotonic() >= prune_at:
                self.prune()
                prune_at = self._clock.monotonic() + PRUNE_SECONDS
            return LOOK_SECONDS

        careful = unless_in_trouble(
            turn, self._log, "the audit trail cannot be written", TROUBLE_SECONDS
        )
        take_turns(careful, self._clock, self._stop, self._has_successor)

    def prune(self) -> None:
        """Let go of what is older than is to be kept, and has been shipped where that is to be."""
        audit = self._plan.audit
        before = self._clock.now() - audit.keep_seconds
        gone = self._trail.prune(before, is_shipped=audit.syslog is not None)
        if gone:
            self._log.info("the audit trail was pruned", messages=gone)

    def tell(self) -> int:
        """Tell one batch of what has been quiet for a while; how many messages that made."""
        made: list[str] = []

        def told(due: Due) -> Sequence[AuditEntry]:
            events = events_of(due, self._plan)
            made.extend(event.kind for event in events)
            return [entry_of(event, self._plan) for event in events]

        number = tell_due(self._trail, self._clock.now(), QUIET_SECONDS, told)
        for kind in made:
            self._metrics.audit_events.add(kind)
        return number


def entry_of(event: AuditEvent, plan: Plan) -> AuditEntry:
    """The row of an event."""
    source = AuditSource(plan.router.name, plan.router.organization)
    return AuditEntry(
        event.at,
        event.kind,
        event.outcome,
        _shown(event.who),
        _shown(event.what),
        audit_message(event, source),
    )


def ourselves(
    plan: Plan, *, role: RoleName = "application", is_requestor: bool = False
) -> Participant:
    """Us as a participant: our name, and our AE title as DICOM writes it (A.5.2)."""
    other = f"AETITLES={plan.router.ae_title}"
    return Participant(plan.router.name, role, is_requestor, other_id=other)


def events_of(due: Due, plan: Plan) -> list[AuditEvent]:
    """What is told of something the ledger did."""
    if isinstance(due, Received):
        return [_received(due, plan)]
    if isinstance(due, Deleted):
        return [_deleted(due, plan)]
    return _sent(due, plan)


def _received(due: Received, plan: Plan) -> AuditEvent:
    who = due.station or due.calling_ae_title or due.address or due.listener
    other = f"AETITLES={due.calling_ae_title}" if due.calling_ae_title else ""
    return AuditEvent(
        "received",
        due.at,
        who,
        due.study_instance_uid,
        participants=(
            Participant(who, "source", is_requestor=True, address=due.address, other_id=other),
            ourselves(plan, role="destination"),
        ),
        studies=_studies(due.study_instance_uid, due, due.sop_classes),
        patient=due.whose.patient,
    )


def _sent(due: Sent, plan: Plan) -> list[AuditEvent]:
    station = plan.stations.get(due.station)
    if station is not None and station.kind == "folder":
        destination = Participant(due.station, "media")
    else:
        ae_title = station.ae_title if station is not None else ""
        host = station.host if station is not None else ""
        other = f"AETITLES={ae_title}" if ae_title else ""
        destination = Participant(due.station, "destination", address=host, other_id=other)
    participants = (
        ourselves(plan, role="source"),
        destination,
        Participant(due.requester, is_requestor=True),
    )
    is_export = destination.role == "media"

    def event(outcome: int, classes: Mapping[str, int], words: str = "") -> AuditEvent:
        return AuditEvent(
            "transfer_begun" if due.begun else "exported" if is_export else "sent",
            due.at,
            due.station,
            due.study_instance_uid,
            outcome,
            words,
            participants,
            _studies(due.study_instance_uid, due, classes),
            due.whose.patient,
        )

    if due.begun:
        return [] if is_export else [event(SUCCESS, {})]
    found = [event(SUCCESS, due.delivered)] if due.delivered else []
    if due.failed:
        outcome = MINOR_FAILURE if due.delivered else SERIOUS_FAILURE
        words = f"task {due.task_id}: {sum(due.failed.values())} instances were not delivered"
        found.append(event(outcome, due.failed, words))
    return found


def _deleted(due: Deleted, plan: Plan) -> AuditEvent:
    return AuditEvent(
        "deleted",
        due.at,
        plan.router.name,
        due.study_instance_uid,
        description=f"{len(due.series)} series are no longer held",
        participants=(ourselves(plan, is_requestor=True),),
        studies=_studies(due.study_instance_uid, due, {}),
        patient=due.whose.patient,
    )


def _studies(study: str, due: Due, classes: Mapping[str, int]) -> tuple[AuditedStudy, ...]:
    if not study:
        return ()
    return (AuditedStudy(study, classes, due.whose.accession_number),)


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
