"""Kept: what was decided of an accepted instance, what has come of it, and what would be now.

The decision is the one its record keeps; attempts are the ledger's events with the peer's own
answer; changes are those of the recipe that was pinned, not of the one the configuration has now.
What the configuration says now is asked of the engine that routes arriving instances, with the
source and the time of its reception. Evicted bytes leave the ledger's part alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.clock import Clock
from router.errors import BadDataset
from router.flow.explain import Explanation, OwedTold, Subject, explain, tell_owed
from router.flow.replay import Side
from router.model.delivery import Result, State
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.rule import Decision, Option, Owed
from router.model.task import Task
from router.morph.apply import Change
from router.store.envelope import decode
from router.store.ledger import SEND_PREFIX, Delivery, Event, Ledger, StationStatus, Stored
from router.store.records import Journal, Record, RecordDamaged

_TURN = "it is sent when its turn comes"
EVICTED = "its bytes were evicted: neither changes nor what the rules say now can be told"


@dataclass(frozen=True, slots=True)
class DeliveryTold:
    """One delivery: who asked, each attempt, what happens next, and what its recipe changes.

    `failure` is why the changes cannot be told, or why the recipe fails.
    """

    delivery: Delivery
    requester: str
    attempts: tuple[Event, ...]
    next: str
    changes: tuple[Change, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class InstanceTold:
    """One instance. `now` is None for the reason in `not_told`; `differences` are sentences."""

    stored: Stored
    deliveries: tuple[DeliveryTold, ...]
    now: Explanation | None
    not_told: str = ""
    differences: tuple[str, ...] = ()


class Kept:
    """Reads what is kept, under the plan of the folder. For one thread."""

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        ledger: Ledger,
        morphs: Mapping[str, Morph],
        mapping_key: bytes,
        clock: Clock,
    ) -> None:
        self._side = Side(plan, mapping_key, morphs, {})
        self._plan = plan
        self._journal = journal
        self._ledger = ledger
        self._morphs = morphs
        self._mapping_key = mapping_key
        self._clock = clock
        self._statuses = ledger.station_statuses()

    def tell(self, stored: Stored, task_id: int | None = None) -> InstanceTold:
        """The instance with its deliveries, or with those of one task."""
        owed = [
            one
            for one in self._ledger.deliveries_of_instance(stored.instance_id)
            if task_id is None or one.task_id == task_id
        ]
        if stored.record is None:
            return self._told(stored, owed, EVICTED)
        try:
            record = self._journal.open(stored.record)
        except RecordDamaged as error:
            return self._told(stored, owed, str(error))
        try:
            return self._tell_whole(stored, owed, record)
        except RecordDamaged as error:
            return self._told(stored, owed, str(error))
        finally:
            record.close()

    def _told(self, stored: Stored, owed: list[Delivery], why: str) -> InstanceTold:
        return InstanceTold(stored, tuple(self._delivery(one) for one in owed), None, why)

    def _tell_whole(self, stored: Stored, owed: list[Delivery], record: Record) -> InstanceTold:
        envelope = decode(record.envelope())
        subject = Subject(
            record.read,
            record.length,
            envelope.instance.transfer_syntax_uid,
            envelope.instance.sop_class_uid,
            envelope.instance.source,
            envelope.instance.received_at,
            is_held=True,
        )
        deliveries = []
        for one in owed:
            changed = self._changed(subject, one)
            told = self._delivery(one)
            deliveries.append(replace(told, changes=changed.changes, failure=changed.failure))
        if any(one.rule.startswith(SEND_PREFIX) for one in envelope.decision.owed):
            why = "it was sent by hand: no rule was asked"
            return InstanceTold(stored, tuple(deliveries), None, why)
        as_now = self._side.subject(subject)
        if as_now is None:
            why = f"{_caller(subject.source)} would not be admitted now"
            return InstanceTold(stored, tuple(deliveries), None, why, (why,))
        try:
            now = explain(self._plan, as_now, self._morphs, self._mapping_key)
        except BadDataset as error:
            why = f"it would be refused now: {error}"
            return InstanceTold(stored, tuple(deliveries), None, why, (why,))
        differences = _differences(envelope.decision, now.decision)
        return InstanceTold(stored, tuple(deliveries), now, "", differences)

    def _changed(self, subject: Subject, delivery: Delivery) -> OwedTold:
        try:
            recipe = self._ledger.recipe(delivery.recipe_digest)
        except KeyError:
            raise RecordDamaged(f"the ledger lacks recipe {delivery.recipe_digest[:12]}") from None
        owed = Owed(delivery.station, recipe, delivery.priority, "")
        return tell_owed(self._plan, subject, owed, self._morphs, self._mapping_key)

    def _delivery(self, delivery: Delivery) -> DeliveryTold:
        task = self._ledger.task(delivery.task_id)
        attempts = self._ledger.attempts_of(delivery)
        last = attempts[-1].kind if attempts else ""
        status = self._statuses.get(delivery.station)
        return DeliveryTold(
            delivery,
            task.requester if task is not None else "",
            attempts,
            next_of(delivery, last, status, self._clock.now(), task),
        )


def next_of(
    delivery: Delivery,
    last: str,
    status: StationStatus | None,
    now: float,
    task: Task | None = None,
) -> str:
    """What happens to a delivery next; `last` is the kind of its last event, '' without one."""
    again = f"someone must act: dicom-router tasks retry {delivery.task_id}"
    ends = {
        State.SENDING: "it is being sent now",
        State.SENT: "the station has it, and is asked to commit to keep it",
        State.DELIVERED: "nothing: the station has it",
        State.CANCELLED: "nothing: it was cancelled",
        State.MOVED: f"nothing here: it {delivery.last_error}",
        State.DEAD: f"nothing by itself, the station refuses it; {again}",
        State.QUARANTINED: f"nothing by itself, its recipe failed and nothing was sent; {again}",
    }
    if delivery.state in ends:
        return ends[delivery.state]
    if status is not None and status.state in {"offline", "inactive"}:
        return f"it waits until the station is back; {status.state}: {status.reason}".rstrip(": ")
    if task is not None and task.status == "On Hold":
        return f"it waits: {task.status_reason}"
    if delivery.due_at > now:
        is_told = last == Result.BUSY
        why = "it waits: the station asked for patience, and" if is_told else "it"
        return f"{why} is tried again in {delivery.due_at - now:.0f} s"
    waits = {
        Result.BUSY: "it waits: the station asked for patience, and is tried again soon",
        Result.UNREACHABLE: "it waits until the station can be reached, which is tried again",
        Result.HOLD: "it waits: the station refuses us until someone acts there; it is tried again",
    }
    return waits.get(Result(last), _TURN) if last in set(Result) else _TURN


def _caller(source: Source) -> str:
    return source.station or source.calling_ae_title


def _differences(then: Decision, now: Decision) -> tuple[str, ...]:
    found: list[str] = []
    if then.rules != now.rules:
        found.append(f"rules: {_names(then.rules)} then, {_names(now.rules)} now")
    was = "refused" if then.refusal else then.disposition.value
    is_now = "refused" if now.refusal else now.disposition.value
    if was != is_now:
        found.append(f"outcome: {was} then, {is_now} now")
    old = {(one.station, one.recipe.digest): one for one in then.owed}
    new = {(one.station, one.recipe.digest): one for one in now.owed}
    for station in sorted({name for name, _ in [*old, *new]}):
        before = {digest: one.priority for (name, digest), one in old.items() if name == station}
        after = {digest: one.priority for (name, digest), one in new.items() if name == station}
        if not before or not after:
            found.append(f"{station}: {'owed now, not then' if after else 'owed then, not now'}")
        elif before.keys() != after.keys():
            found.append(f"{station}: another recipe now")
        elif before != after:
            found.append(f"{station}: another priority now")
        elif _in_place(old, station) != _in_place(new, station):
            found.append(f"{station}: other stations may take it in its place now")
    return tuple(found)


def _in_place(owed: dict[tuple[str, str], Owed], station: str) -> dict[str, tuple[Option, ...]]:
    return {digest: one.others for (name, digest), one in owed.items() if name == station}


def _names(rules: tuple[str, ...]) -> str:
    return ", ".join(rules) or "none"
