"""Instances of the ledger, read back. Patient attributes are empty: the ledger has none."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from router.model.delivery import Disposition
from router.model.instance import Instance, RecordRef, Source
from router.store.ledger import Stored

COLUMNS: Final = """
SELECT instance_id, segment, place, length, record_id, disposition, duplicate_of, plan_digest,
  rules, sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid,
  transfer_syntax_uid, modality, data_set_length, header_length, content_digest, received_at,
  listener, calling_ae_title, called_ae_title, address, source_station, withheld FROM instance
"""


def by_id(connection: sqlite3.Connection, instance_id: int) -> Stored | None:
    """One instance."""
    row = connection.execute(COLUMNS + "WHERE instance_id = ?", (instance_id,)).fetchone()
    return None if row is None else stored(row)


def by_sop_instance(connection: sqlite3.Connection, uid: str) -> tuple[Stored, ...]:
    """Every version of a SOP instance, oldest first."""
    rows = connection.execute(COLUMNS + "WHERE sop_instance_uid = ? ORDER BY instance_id", (uid,))
    return tuple(map(stored, rows))


def by_study(connection: sqlite3.Connection, uid: str) -> tuple[Stored, ...]:
    """What is still here of a study, oldest first, without duplicates and what was rejected."""
    rows = connection.execute(
        COLUMNS + "WHERE study_instance_uid = ? AND segment IS NOT NULL "
        "AND disposition <> 'duplicate' AND withheld IS NULL ORDER BY instance_id",
        (uid,),
    )
    return tuple(map(stored, rows))


def received_since(
    connection: sqlite3.Connection, since: float, behind: tuple[str, int], limit: int
) -> tuple[Stored, ...]:
    """The next of what arrived since then, by study and then arrival, behind (study, id)."""
    rows = connection.execute(
        COLUMNS + "INDEXED BY instance_study WHERE (study_instance_uid, instance_id) > (?, ?) "
        "AND received_at >= ? ORDER BY study_instance_uid, instance_id LIMIT ?",
        (*behind, since, limit),
    )
    return tuple(map(stored, rows))


def stored(row: tuple[Any, ...]) -> Stored:
    """One row of COLUMNS."""
    instance_id, segment, place, length, record_id, disposition, twin, plan_digest, rules = row[:9]
    facts = (*row[9:15], "", "", "", *row[15:19], Source(*row[19:24]))
    return Stored(
        instance_id,
        None if segment is None else RecordRef(segment, place, length, record_id),
        Instance(*facts),
        Disposition(disposition),
        twin,
        plan_digest,
        tuple(json.loads(rules)),
        row[24],
    )
