"""Booking records: an instance, its deliveries, the tasks they belong to, the segment's mark.

A record that is known is left alone, so booking twice is harmless. The same object from the same
source within a day is a duplicate: only what is not already queued, being sent or delivered for it
is owed again, unless its station wants otherwise. The same UID with other bytes is another version,
which waits for the one before it, station by station. What was rejected is kept apart, and a
rejection note goes to the stations that want it (`rejecting`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.model.delivery import Disposition, Priority
from router.model.instance import RETRIEVED, Instance
from router.model.recipe import Recipe
from router.model.rejection import NOTE
from router.model.rule import Owed, Silence
from router.store import choices, looping, rejecting
from router.store.counting import Counts
from router.store.ledger import SEND_PREFIX, Indexed
from router.store.task_log import EVENT, OPEN_AFTER_SECONDS

DUPLICATE_SECONDS: Final = 86400.0
RECEIVE_SECONDS: Final = 30.0
REPLACED: Final = "replaced: a newer version came"

# The first twin; where there is none, the first version with other bytes.
_EARLIER: Final = """
SELECT coalesce(duplicate_of, instance_id), content_digest = ?2
  AND coalesce(source_station, calling_ae_title) = ?3
  AND received_at BETWEEN ?4 AND ?5 AND (segment IS NOT NULL OR ?6) AS is_twin
FROM instance WHERE sop_instance_uid = ?1 AND (is_twin OR content_digest <> ?2)
ORDER BY is_twin DESC, instance_id LIMIT 1
"""
_INSERT_INSTANCE: Final = """
INSERT INTO instance (record_id, segment, place, length, sop_class_uid, sop_instance_uid,
  study_instance_uid, series_instance_uid, transfer_syntax_uid, modality, data_set_length,
  header_length, content_digest, received_at, listener, calling_ae_title, called_ae_title, address,
  source_station, plan_digest, disposition, duplicate_of, rules, withheld)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
"""
_LIVE: Final = """
SELECT d.station, d.recipe_digest FROM instance i JOIN delivery d USING (instance_id)
WHERE (i.instance_id = ?1 OR i.duplicate_of = ?1) AND i.sop_instance_uid = ?2
  AND (d.state IN ('queued', 'sending') OR d.state IN ('sent', 'delivered') AND ?3)
"""
_IS_OTHER_VERSION: Final = """
SELECT EXISTS (
  SELECT 1 FROM instance twin JOIN instance first USING (sop_instance_uid)
  WHERE twin.instance_id = ? AND first.instance_id < twin.instance_id
    AND first.content_digest <> twin.content_digest)
"""
_UNSENT_BEFORE: Final = """
SELECT d.delivery_id, d.task_id, d.station FROM instance i JOIN delivery d USING (instance_id)
WHERE i.sop_instance_uid = ?1 AND i.instance_id < ?2 AND d.state = 'queued'
  AND d.station IN (SELECT value FROM json_each(?3))
"""
_INSERT_DELIVERY: Final = """
INSERT INTO delivery (instance_id, task_id, station, recipe_digest, priority, state, created_at,
  changed_at, choice_id) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?)
"""
# What waits for silence is joined only while it waits: a late object is an addendum of its own.
_OPEN_TASK: Final = """
SELECT task_id, iif(priority_set, priority, NULL) FROM task
WHERE study_instance_uid = ?1 AND station = ?2 AND requester = ?3 AND kind = ?4
  AND series_instance_uid = ?6 AND idle_seconds IS ?7
  AND iif(?7 IS NULL, ended_at IS NULL OR ended_at >= ?5, quiet_at > ?8)
ORDER BY task_id DESC LIMIT 1
"""
_INSERT_TASK: Final = """
INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at,
  last_modified_at, series_instance_uid, idle_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OPEN_RECEIVE: Final = f"""
SELECT task_id FROM task WHERE study_instance_uid = ?1 AND station = ?2 AND requester = ?2
  AND kind = 'receive' AND last_modified_at >= ?3 - {RECEIVE_SECONDS} ORDER BY task_id DESC LIMIT 1
"""  # noqa: S608 - a constant
_INSERT_RECEIVE: Final = """
INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at, started_at,
  ended_at, last_modified_at) VALUES ('receive', ?1, ?2, ?2, ?3, ?4, ?4, ?4, ?4)
"""
_RECEIVED: Final = """
UPDATE task SET received = received + ?1, ended_at = max(ended_at, ?2),
  last_modified_at = max(last_modified_at, ?2) WHERE task_id = ?3
"""
_QUIET: Final = "UPDATE task SET quiet_at = max(coalesce(quiet_at, 0), ?) WHERE task_id = ?"
_MARK: Final = """
INSERT INTO segment (number, indexed_to) VALUES (?, ?)
ON CONFLICT (number) DO UPDATE SET indexed_to = max(indexed_to, excluded.indexed_to)
"""


def book(
    connection: sqlite3.Connection,
    entries: Sequence[Indexed],
    marks: Mapping[int, int],
    known_recipes: Collection[str],
    now: float,
) -> tuple[int, ...]:
    """Book the entries inside the open transaction; their instance ids."""
    register = rejecting.Register(
        connection, [entry.instance.sop_instance_uid for entry in entries]
    )
    booking = _Booking(connection, register, known_recipes, now)
    ids = tuple(booking.instance(entry) for entry in entries)
    booking.finish()
    _advance(connection, entries, marks)
    return ids


def remember(connection: sqlite3.Connection, recipe: Recipe) -> None:
    """Keep a recipe under its digest."""
    connection.execute(
        "INSERT OR IGNORE INTO recipe (digest, steps) VALUES (?, ?)", (recipe.digest, recipe.steps)
    )


def new_task(
    connection: sqlite3.Connection, owed: Owed, study: str, now: float, series: str = ""
) -> int:
    """Open a task for one study, or one series of it, on its way to one station; its id."""
    kind, requester = kind_and_requester(owed.rule)
    idle = owed.silence.idle_seconds if owed.silence else None
    values = (kind, int(owed.priority), owed.station, requester, study, now, now, series, idle)
    task_id = connection.execute(_INSERT_TASK, values).lastrowid
    assert task_id is not None
    connection.execute(EVENT, (now, task_id, None, "created", requester, None))
    return task_id


def kind_and_requester(rule: str) -> tuple[str, str]:
    """`route` and the rule's name, or `send` and who asked."""
    if rule.startswith(SEND_PREFIX):
        return "send", rule.removeprefix(SEND_PREFIX)
    return "route", rule


@dataclass(slots=True)
class _Receiving:
    """What this batch adds to a receive task."""

    task_id: int
    last_at: float
    objects: int = 0


class _Booking:
    """The booking of one batch: remembers what would otherwise be asked again and again."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        register: rejecting.Register,
        known: Collection[str],
        now: float,
    ) -> None:
        self._connection = connection
        self._register = register
        self._known_recipes = set(known)
        self._now = now
        self._counts = Counts()
        # A task's priority may have been changed by hand: what joins it follows.
        self._tasks: dict[tuple[str, str, str, str], tuple[int, int | None]] = {}
        self._quiet: dict[int, float] = {}
        self._receiving: dict[tuple[str, str], _Receiving] = {}
        self._received: list[_Receiving] = []
        self._deliveries: list[tuple[int, int, str, str, int, float, float, int | None]] = []

    def instance(self, entry: Indexed) -> int:
        """Book one record; its instance id."""
        connection = self._connection
        known = connection.execute(
            "SELECT instance_id FROM instance WHERE record_id = ?", (_record_id(entry),)
        ).fetchone()
        if known is not None:
            return int(known[0])
        decision, twin, withheld = entry.decision, None, None
        disposition = decision.disposition
        owed = {(one.station, one.recipe.digest): one for one in decision.owed}
        earlier, is_changed = self._earlier(entry.instance)
        if is_changed or earlier is not None or decision.rejection or self._register.known:
            disposition, twin, withheld = self._placed(entry, earlier, is_changed=is_changed)
        self._receive(entry.instance)
        row = _instance_row(entry, disposition, twin, withheld)
        instance_id = connection.execute(_INSERT_INSTANCE, row).lastrowid
        assert instance_id is not None
        self._counts.instance(disposition.value)
        if withheld == NOTE:
            self._note(instance_id, entry)
            return instance_id
        if withheld is not None or disposition is Disposition.QUARANTINED:
            return instance_id
        if owed and (is_changed or twin is not None):
            self._flush()
            self._as_wanted(owed, entry, instance_id, twin)
        for one in owed.values():
            self._owe(instance_id, entry.instance, one)
        if owed and is_changed:
            self._flush()
            uid = entry.instance.sop_instance_uid
            connection.execute(choices.BEHIND, (uid, instance_id))
            looping.end_if_loop(connection, self._counts, instance_id, entry.instance, self._now)
        return instance_id

    def _placed(
        self, entry: Indexed, twin: int | None, *, is_changed: bool
    ) -> tuple[Disposition, int | None, str | None]:
        """Disposition, twin and `withheld`; what is kept apart is quarantined, whatever rules say."""
        decision = entry.decision
        code = self._register.withheld(entry.instance)
        # What a person sends by hand goes: they know what they send.
        if code is not None and not any(one.rule.startswith(SEND_PREFIX) for one in decision.owed):
            return Disposition.QUARANTINED, None, code
        withheld = None if decision.rejection is None else NOTE
        if twin is not None:
            return Disposition.DUPLICATE, twin, withheld
        if is_changed and decision.duplicates.other_content == "quarantine":
            return Disposition.QUARANTINED, None, withheld
        return decision.disposition, None, withheld

    def _as_wanted(
        self,
        owed: dict[tuple[str, str], Owed],
        entry: Indexed,
        instance_id: int,
        twin: int | None,
    ) -> None:
        """Take out of `owed` what a duplicate does not owe; cancel what a version replaces."""
        uid, duplicates = entry.instance.sop_instance_uid, entry.decision.duplicates
        if twin is not None:
            is_once = duplicates.same_content == "send_missing"
            live = set(self._connection.execute(_LIVE, (twin, uid, is_once)).fetchall())
            for key, known in tuple(owed.items()):
                if live.isdisjoint((one.station, one.recipe.digest) for one in known.alternatives):
                    continue
                del owed[key]
                if known.silence is not None:
                    self._stir(entry.instance, known)
            # What was kept apart is so when it comes again.
            if duplicates.other_content == "quarantine" and self._is_other_version(twin):
                owed.clear()
        elif duplicates.other_content == "replace":
            stations = json.dumps(
                [one.station for known in owed.values() for one in known.alternatives]
            )
            rows = self._connection.execute(_UNSENT_BEFORE, (uid, instance_id, stations)).fetchall()
            rejecting.cancel(self._connection, self._counts, rows, REPLACED, self._now)

    def _is_other_version(self, twin: int) -> bool:
        """Whether other bytes came before that instance under its UID."""
        return bool(self._connection.execute(_IS_OTHER_VERSION, (twin,)).fetchone()[0])

    def _note(self, note_id: int, entry: Indexed) -> None:
        """Do what a rejection note says, and owe it to whom it concerns."""
        connection, note, rejection = self._connection, entry.instance, entry.decision.rejection
        assert rejection is not None
        self._flush()
        if not rejecting.was_applied(connection, note_id, note):
            self._register.add(note_id, note, rejection)
            rejecting.apply(connection, self._counts, note, rejection, self._now)
        if entry.decision.disposition is Disposition.QUARANTINED:
            return
        for one in rejecting.targets(connection, note, rejection, entry.decision.owed):
            self._owe(note_id, note, one)
        self._flush()
        rejecting.follow(connection, note_id, rejection)

    def finish(self) -> None:
        """Write what was gathered."""
        self._flush()
        self._connection.executemany(
            "UPDATE task SET last_modified_at = ?, ended_at = NULL WHERE task_id = ?",
            [(self._now, task_id) for task_id, _ in self._tasks.values()],
        )
        self._connection.executemany(
            _QUIET, [(quiet_at, task_id) for task_id, quiet_at in self._quiet.items()]
        )
        self._connection.executemany(
            _RECEIVED, [(one.objects, one.last_at, one.task_id) for one in self._received]
        )
        self._counts.write(self._connection)

    def _flush(self) -> None:
        self._connection.executemany(_INSERT_DELIVERY, self._deliveries)
        self._deliveries.clear()

    def _receive(self, instance: Instance) -> None:
        """Count the object in the receive task it joins or opens."""
        source, at = instance.source, instance.received_at
        sender = source.station or source.calling_ae_title or source.listener
        key = (instance.study_instance_uid, sender)
        known = self._receiving.get(key)
        if known is None or at > known.last_at + RECEIVE_SECONDS:
            known = self._receiving[key] = _Receiving(self._receive_task(*key, at), at)
            self._received.append(known)
        known.objects += 1
        known.last_at = max(known.last_at, at)

    def _receive_task(self, study: str, sender: str, at: float) -> int:
        found = self._connection.execute(_OPEN_RECEIVE, (study, sender, at)).fetchone()
        if found is not None:
            return int(found[0])
        values = (int(Priority.MEDIUM), sender, study, at)
        task_id = self._connection.execute(_INSERT_RECEIVE, values).lastrowid
        assert task_id is not None
        return task_id

    def _earlier(self, instance: Instance) -> tuple[int | None, bool]:
        """The twin this instance is a duplicate of; whether it came before with other bytes."""
        found = self._connection.execute(
            _EARLIER,
            (
                instance.sop_instance_uid,
                instance.content_digest,
                instance.source.station or instance.source.calling_ae_title,
                instance.received_at - DUPLICATE_SECONDS,
                instance.received_at + DUPLICATE_SECONDS,
                # What is fetched anew because its bytes were evicted is to be held again.
                instance.source.listener != RETRIEVED,
            ),
        ).fetchone()
        if found is None:
            return None, False
        return (int(found[0]), False) if found[1] else (None, True)

    def _owe(self, instance_id: int, instance: Instance, owed: Owed) -> None:
        digest = owed.recipe.digest
        if owed.others or digest not in self._known_recipes:
            self._know(owed)
        task = self._joined(instance, owed)
        if task is None:
            study, series = instance.study_instance_uid, _series(instance, owed)
            task = new_task(self._connection, owed, study, self._now, series), None
            self._tasks[instance.study_instance_uid, owed.station, owed.rule, series] = task
        if owed.silence is not None:
            self._wait(task[0], instance, owed.silence)
        now = self._now
        priority = int(owed.priority) if task[1] is None else task[1]
        choice = choices.choice_of(self._connection, owed) if owed.others else None
        row = (instance_id, task[0], owed.station, digest, priority, now, now, choice)
        self._deliveries.append(row)
        self._counts.created(owed.station)

    def _know(self, owed: Owed) -> None:
        """Keep the recipes that have not been seen."""
        for one in owed.alternatives:
            if one.recipe.digest not in self._known_recipes:
                remember(self._connection, one.recipe)
                self._known_recipes.add(one.recipe.digest)

    def _joined(self, instance: Instance, owed: Owed) -> tuple[int, int | None] | None:
        """The open task this delivery joins, and the priority somebody gave it; None: there is none."""
        study, silence, at = instance.study_instance_uid, owed.silence, instance.received_at
        series = "" if silence is None else _series(instance, owed)
        key = (study, owed.station, owed.rule, series)
        known = self._tasks.get(key)
        if known is not None and (silence is None or at < self._quiet.get(known[0], at)):
            return known
        kind, requester = kind_and_requester(owed.rule)
        since = self._now - OPEN_AFTER_SECONDS
        idle = silence.idle_seconds if silence else None
        found = self._connection.execute(
            _OPEN_TASK, (study, owed.station, requester, kind, since, series, idle, at)
        ).fetchone()
        if found is None:
            return None
        self._tasks[key] = task = (int(found[0]), found[1])
        return task

    def _stir(self, instance: Instance, owed: Owed) -> None:
        """What came once more is no silence either."""
        task = self._joined(instance, owed)
        if task is not None and owed.silence is not None:
            self._wait(task[0], instance, owed.silence)

    def _wait(self, task_id: int, instance: Instance, silence: Silence) -> None:
        quiet_at = instance.received_at + silence.idle_seconds
        self._quiet[task_id] = max(quiet_at, self._quiet.get(task_id, quiet_at))


def _series(instance: Instance, owed: Owed) -> str:
    """The series whose silence is waited for; '' where it is the study's, or none."""
    of_series = owed.silence is not None and owed.silence.of == "series"
    return instance.series_instance_uid if of_series else ""


def _record_id(entry: Indexed) -> bytes:
    """The record's own id; of a journal that gives none, its place."""
    ref = entry.ref
    return ref.record_id or f"{ref.segment}:{ref.offset}".encode()


def _instance_row(
    entry: Indexed, disposition: Disposition, twin: int | None, withheld: str | None
) -> tuple[object, ...]:
    ref, instance, source = entry.ref, entry.instance, entry.instance.source
    return (
        _record_id(entry),
        ref.segment,
        ref.offset,
        ref.length,
        instance.sop_class_uid,
        instance.sop_instance_uid,
        instance.study_instance_uid,
        instance.series_instance_uid,
        instance.transfer_syntax_uid,
        instance.modality,
        instance.data_set_length,
        instance.header_length,
        instance.content_digest,
        instance.received_at,
        source.listener,
        source.calling_ae_title,
        source.called_ae_title,
        source.address,
        source.station,
        entry.plan_digest,
        disposition.value,
        twin,
        json.dumps(entry.decision.rules),
        withheld,
    )


def _advance(
    connection: sqlite3.Connection, entries: Sequence[Indexed], marks: Mapping[int, int]
) -> None:
    """Push the marks over every record that follows without a gap."""
    lengths = {(entry.ref.segment, entry.ref.offset): entry.ref.length for entry in entries}
    for segment in {segment for segment, _ in lengths} | set(marks):
        row = connection.execute(
            "SELECT indexed_to FROM segment WHERE number = ?", (segment,)
        ).fetchone()
        before = row[0] if row else 0
        mark = max(before, marks.get(segment, 0))
        while True:
            length = lengths.get((segment, mark)) or _length_at(connection, segment, mark)
            if length is None:
                break
            mark += length
        connection.execute(_MARK, (segment, mark))


def _length_at(connection: sqlite3.Connection, segment: int, place: int) -> int | None:
    row = connection.execute(
        "SELECT length FROM instance WHERE segment = ? AND place = ?", (segment, place)
    ).fetchone()
    return None if row is None else int(row[0])
