"""What the ledger did and the audit trail has not told yet, and telling it: one transaction.

What was received is read from the instances behind a mark, in windows; what was sent and deleted from
rows that triggers wrote in the transactions that did it. Nothing is told twice and nothing is lost by
a crash: the mark moves, and the rows go, with the messages.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import StoreDown
from router.model.audit import Patient
from router.store.audit import AuditEntry, AuditTrail, append, head
from router.store.catalogue import unsealed
from router.store.keys import KeyRing
from router.store.ledger import CatalogueRow
from router.store.records import RecordDamaged

_MOST_INSTANCES: Final = 5000
_MOST_TASKS: Final = 200
_PATIENT_ID, _PATIENT_NAME, _ISSUER, _ACCESSION = 0x00100020, 0x00100010, 0x00100021, 0x00080050
_WINDOW: Final = """
SELECT min(received_at), max(received_at), max(instance_id) FROM (
  SELECT instance_id, received_at FROM instance WHERE instance_id > ? ORDER BY instance_id LIMIT ?)
"""
_RECEIVED: Final = """
SELECT study_instance_uid, source_station, calling_ae_title, called_ae_title, address, listener,
  sop_class_uid, count(*), max(received_at)
FROM instance WHERE instance_id > ? AND instance_id <= ? GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_TASKS: Final = """
SELECT u.due_id, u.event, u.at, t.task_id, t.station, t.requester, t.study_instance_uid,
  t.audited_at
FROM audit_due u JOIN task t USING (task_id)
WHERE iif(u.event = 'begun',
  u.at <= ?1 OR u.at > ?2 OR EXISTS (SELECT 1 FROM catalogue c
    WHERE c.study_instance_uid = u.study_instance_uid AND c.sealed IS NOT NULL),
  t.ended_at <= ?1 OR t.ended_at > ?2)
ORDER BY u.due_id LIMIT ?3
"""
_SENT: Final = """
SELECT d.state, i.sop_class_uid, count(*), max(d.changed_at) FROM delivery d
JOIN instance i USING (instance_id)
WHERE d.task_id = ? AND d.state IN ('delivered', 'dead', 'quarantined') AND d.changed_at > ?
GROUP BY 1, 2
"""
_DELETED: Final = """
SELECT due_id, at, study_instance_uid, series_instance_uid, sealed FROM audit_due
WHERE event = 'deleted' ORDER BY due_id LIMIT ?
"""
_DESCRIBED: Final = """
SELECT entry_id, study_instance_uid, series_instance_uid, sop_instance_uid, sealed FROM catalogue
WHERE study_instance_uid = ? AND sealed IS NOT NULL LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Whose:
    """The patient of a study and its accession number, as the catalogue has them."""

    patient: Patient
    accession_number: str = ""


NOBODY: Final = Whose(Patient())


@dataclass(frozen=True, slots=True)
class Received:
    """Instances of one study from one source, by SOP class."""

    study_instance_uid: str
    station: str | None
    calling_ae_title: str
    called_ae_title: str
    address: str
    listener: str
    sop_classes: Mapping[str, int]
    at: float
    whose: Whose


@dataclass(frozen=True, slots=True)
class Sent:
    """What a task came to since it was told of last; `begun`: it has just been started."""

    task_id: int
    begun: bool
    station: str
    requester: str
    study_instance_uid: str
    delivered: Mapping[str, int]
    failed: Mapping[str, int]
    at: float
    whose: Whose


@dataclass(frozen=True, slots=True)
class Deleted:
    """Series of a study of which nothing is held any more."""

    study_instance_uid: str
    series: tuple[str, ...]
    at: float
    whose: Whose


Due = Received | Sent | Deleted


def tell_due(
    trail: AuditTrail, now: float, quiet_seconds: float, told: Callable[[Due], Sequence[AuditEntry]]
) -> int:
    """Tell what has been quiet for so long, at most a batch; how many messages that made."""
    with trail.database.read() as connection:
        if not _is_any(connection, now, quiet_seconds):
            return 0
    with trail.database.write() as connection:
        due: list[Due] = [
            *_received(connection, trail.keys, now - quiet_seconds, now),
            *_sent(connection, trail.keys, now - quiet_seconds, now),
            *_deleted(connection, trail.keys),
        ]
        entries = [entry for one in due for entry in told(one)]
        append(connection, trail.keys, entries)
    return len(entries)


def whose(trail: AuditTrail, study_instance_uid: str) -> Whose:
    """The patient of a study that is held here."""
    with trail.database.read() as connection:
        return _whose(connection, trail.keys, study_instance_uid)


def _is_any(connection: sqlite3.Connection, now: float, quiet_seconds: float) -> bool:
    before = now - quiet_seconds
    return (
        connection.execute(_TASKS, (before, now, 1)).fetchone() is not None
        or connection.execute(_DELETED, (1,)).fetchone() is not None
        or _window(connection, before, now) is not None
    )


def _window(connection: sqlite3.Connection, before: float, now: float) -> tuple[int, int] | None:
    """(behind, up to) of the instances to tell now: where the oldest has waited long enough."""
    mark = head(connection).instance_id
    oldest, newest, upper = connection.execute(_WINDOW, (mark, _MOST_INSTANCES)).fetchone()
    if upper is None:
        return None
    # What was received in the future was received before the clock was set back.
    is_full = upper - mark >= _MOST_INSTANCES
    return (mark, upper) if oldest <= before or newest > now or is_full else None


def _received(
    connection: sqlite3.Connection, keys: KeyRing, before: float, now: float
) -> list[Received]:
    window = _window(connection, before, now)
    if window is None:
        return []
    groups: dict[tuple[str, str | None, str, str, str, str], dict[str, int]] = {}
    times: dict[tuple[str, str | None, str, str, str, str], float] = {}
    for row in connection.execute(_RECEIVED, window):
        groups.setdefault(row[:6], {})[row[6]] = row[7]
        times[row[:6]] = max(times.get(row[:6], 0.0), row[8])
    connection.execute("UPDATE audit_head SET instance_id = ?", (window[1],))
    return [
        Received(*key, counts, times[key], _whose(connection, keys, key[0]))
        for key, counts in groups.items()
    ]


def _sent(connection: sqlite3.Connection, keys: KeyRing, before: float, now: float) -> list[Sent]:
    found: list[Sent] = []
    rows = connection.execute(_TASKS, (before, now, _MOST_TASKS)).fetchall()
    for due_id, event, at, task_id, station, requester, study, audited_at in rows:
        delivered: dict[str, int] = {}
        failed: dict[str, int] = {}
        upto = at
        if event == "ended":
            for state, sop_class, number, changed in connection.execute(
                _SENT, (task_id, audited_at or 0.0)
            ):
                kept = delivered if state == "delivered" else failed
                kept[sop_class] = kept.get(sop_class, 0) + number
                upto = max(upto, changed)
            connection.execute("UPDATE task SET audited_at = ? WHERE task_id = ?", (upto, task_id))
        connection.execute("DELETE FROM audit_due WHERE due_id = ?", (due_id,))
        who = _whose(connection, keys, study)
        found.append(
            Sent(task_id, event == "begun", station, requester, study, delivered, failed, upto, who)
        )
    return found


def _deleted(connection: sqlite3.Connection, keys: KeyRing) -> list[Deleted]:
    rows = connection.execute(_DELETED, (_MOST_INSTANCES,)).fetchall()
    studies: dict[str, list[tuple[float, str, bytes]]] = {}
    for _, at, study, series, sealed in rows:
        studies.setdefault(study, []).append((at, series, sealed))
    ids = json.dumps([row[0] for row in rows])
    connection.execute(
        "DELETE FROM audit_due WHERE due_id IN (SELECT value FROM json_each(?))", (ids,)
    )
    return [
        Deleted(
            study,
            tuple(series for _, series, _ in gone),
            max(at for at, _, _ in gone),
            _opened(CatalogueRow(0, study, gone[0][1], "", gone[0][2]), keys),
        )
        for study, gone in studies.items()
    ]


def _whose(connection: sqlite3.Connection, keys: KeyRing, study: str) -> Whose:
    row = connection.execute(_DESCRIBED, (study,)).fetchone()
    return NOBODY if row is None else _opened(CatalogueRow(*row), keys)


def _opened(row: CatalogueRow, keys: KeyRing) -> Whose:
    try:
        known = unsealed(row, keys)
    except (RecordDamaged, StoreDown):
        return NOBODY
    patient = Patient(
        known.get(_PATIENT_ID, ""), known.get(_PATIENT_NAME, ""), known.get(_ISSUER, "")
    )
    return Whose(patient, known.get(_ACCESSION, ""))
