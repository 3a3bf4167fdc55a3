"""Booking records: an instance, its deliveries, the tasks they belong to, the segment's mark.

A record that is known is left alone, so booking twice is harmless. The same object from the same
source within a day is a duplicate: only what is not already queued, being sent or delivered for it
is owed again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from router.model.delivery import Disposition
from router.model.instance import RETRIEVED, Instance
from router.model.recipe import Recipe
from router.model.rule import Owed
from router.store.counting import Counts
from router.store.ledger import SEND_PREFIX, Indexed

DUPLICATE_SECONDS: Final = 86400.0
OPEN_AFTER_SECONDS: Final = 60.0

_TWIN: Final = """
SELECT coalesce(duplicate_of, instance_id) FROM instance
WHERE sop_instance_uid = ? AND content_digest = ? AND coalesce(source_station, calling_ae_title) = ?
  AND received_at BETWEEN ? AND ? AND (segment IS NOT NULL OR ?) ORDER BY instance_id LIMIT 1
"""
_INSERT_INSTANCE: Final = """
INSERT INTO instance (record_id, segment, place, length, sop_class_uid, sop_instance_uid,
  study_instance_uid, series_instance_uid, transfer_syntax_uid, modality, data_set_length,
  header_length, content_digest, received_at, listener, calling_ae_title, called_ae_title, address,
  source_station, plan_digest, disposition, duplicate_of, rules)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
"""
_LIVE: Final = """
SELECT d.station, d.recipe_digest FROM instance i JOIN delivery d USING (instance_id)
WHERE (i.instance_id = ?1 OR i.duplicate_of = ?1) AND i.sop_instance_uid = ?2
  AND d.state IN ('queued', 'sending', 'sent', 'delivered')
"""
_INSERT_DELIVERY: Final = """
INSERT INTO delivery (instance_id, task_id, station, recipe_digest, priority, state, created_at,
  changed_at) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)
"""
_OPEN_TASK: Final = """
SELECT task_id, iif(priority_set, priority, NULL) FROM task
WHERE study_instance_uid = ? AND station = ? AND requester = ? AND kind = ?
  AND (ended_at IS NULL OR ended_at >= ?) ORDER BY task_id DESC LIMIT 1
"""
_INSERT_TASK: Final = """
INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at,
  last_modified_at) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
EVENT: Final = (
    "INSERT INTO event (at, task_id, delivery_id, kind, message, status) VALUES (?, ?, ?, ?, ?, ?)"
)
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
    booking = _Booking(connection, known_recipes, now)
    ids = tuple(booking.instance(entry) for entry in entries)
    booking.finish()
    _advance(connection, entries, marks)
    return ids


def remember(connection: sqlite3.Connection, recipe: Recipe) -> None:
    """Keep a recipe under its digest."""
    connection.execute(
        "INSERT OR IGNORE INTO recipe (digest, steps) VALUES (?, ?)", (recipe.digest, recipe.steps)
    )


def new_task(connection: sqlite3.Connection, owed: Owed, study: str, now: float) -> int:
    """Open a task for one study on its way to one station; its id."""
    kind, requester = kind_and_requester(owed.rule)
    values = (kind, int(owed.priority), owed.station, requester, study, now, now)
    task_id = connection.execute(_INSERT_TASK, values).lastrowid
    assert task_id is not None
    connection.execute(EVENT, (now, task_id, None, "created", requester, None))
    return task_id


def kind_and_requester(rule: str) -> tuple[str, str]:
    """`route` and the rule's name, or `send` and who asked."""
    if rule.startswith(SEND_PREFIX):
        return "send", rule.removeprefix(SEND_PREFIX)
    return "route", rule


class _Booking:
    """The booking of one batch: remembers what would otherwise be asked again and again."""

    def __init__(self, connection: sqlite3.Connection, known: Collection[str], now: float) -> None:
        self._connection = connection
        self._known_recipes = set(known)
        self._now = now
        self._counts = Counts()
        # A task's priority may have been changed by hand: what joins it follows.
        self._tasks: dict[tuple[str, str, str], tuple[int, int | None]] = {}
        self._deliveries: list[tuple[int, int, str, str, int, float, float]] = []

    def instance(self, entry: Indexed) -> int:
        """Book one record; its instance id."""
        connection = self._connection
        known = connection.execute(
            "SELECT instance_id FROM instance WHERE record_id = ?", (_record_id(entry),)
        ).fetchone()
        if known is not None:
            return int(known[0])
        twin = self._twin(entry.instance)
        disposition = entry.decision.disposition if twin is None else Disposition.DUPLICATE
        row = _instance_row(entry, disposition, twin)
        instance_id = connection.execute(_INSERT_INSTANCE, row).lastrowid
        assert instance_id is not None
        self._counts.instance(disposition.value)
        owed = {(one.station, one.recipe.digest): one for one in entry.decision.owed}
        if twin is not None and owed:
            self._flush()
            live = connection.execute(_LIVE, (twin, entry.instance.sop_instance_uid))
            for key in live.fetchall():
                owed.pop(key, None)
        for one in owed.values():
            self._owe(instance_id, entry.instance.study_instance_uid, one)
        return instance_id

    def finish(self) -> None:
        """Write what was gathered."""
        self._flush()
        self._connection.executemany(
            "UPDATE task SET last_modified_at = ?, ended_at = NULL WHERE task_id = ?",
            [(self._now, task_id) for task_id, _ in self._tasks.values()],
        )
        self._counts.write(self._connection)

    def _flush(self) -> None:
        self._connection.executemany(_INSERT_DELIVERY, self._deliveries)
        self._deliveries.clear()

    def _twin(self, instance: Instance) -> int | None:
        found = self._connection.execute(
            _TWIN,
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
        return None if found is None else int(found[0])

    def _owe(self, instance_id: int, study: str, owed: Owed) -> None:
        digest = owed.recipe.digest
        if digest not in self._known_recipes:
            remember(self._connection, owed.recipe)
            self._known_recipes.add(digest)
        key = (study, owed.station, owed.rule)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = self._task(owed, study)
        now = self._now
        priority = int(owed.priority) if task[1] is None else task[1]
        row = (instance_id, task[0], owed.station, digest, priority, now, now)
        self._deliveries.append(row)
        self._counts.created(owed.station)

    def _task(self, owed: Owed, study: str) -> tuple[int, int | None]:
        """The task this delivery joins or opens, and the priority somebody gave it."""
        kind, requester = kind_and_requester(owed.rule)
        since = self._now - OPEN_AFTER_SECONDS
        found = self._connection.execute(
            _OPEN_TASK, (study, owed.station, requester, kind, since)
        ).fetchone()
        if found is not None:
            return int(found[0]), found[1]
        return new_task(self._connection, owed, study, self._now), None


def _record_id(entry: Indexed) -> bytes:
    """The record's own id; of a journal that gives none, its place."""
    ref = entry.ref
    return ref.record_id or f"{ref.segment}:{ref.offset}".encode()


def _instance_row(entry: Indexed, disposition: Disposition, twin: int | None) -> tuple[object, ...]:
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
