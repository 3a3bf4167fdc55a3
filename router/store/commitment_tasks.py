"""Tasks of kind `commit`: one for each transaction of storage commitment that a station asks of us.

The transaction is the truth: how far it is, is counted from its references, never stored. A task is
opened, ended and forgotten with its transaction. Functions work inside an open transaction of the
ledger.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from router.model.commitment import COMMITTED, FAILURE_REASONS, Referenced, reason_words
from router.model.delivery import Priority
from router.store.task_log import EVENT

_OPEN: Final = """
INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at, started_at,
  last_modified_at) VALUES ('commit', ?1, ?2, ?2, ?3, ?4, ?4, ?4)
"""
_STUDY: Final = """
SELECT i.study_instance_uid FROM commitment_reference r
CROSS JOIN instance i ON i.sop_instance_uid = r.sop_instance_uid WHERE r.commitment_id = ? LIMIT 1
"""
_NAMED: Final = """
SELECT commitment_id FROM commitment c WHERE task_id IN (SELECT value FROM json_each(?))
"""
_FAILED: Final = f"""
{_NAMED} AND NOT cancelled AND (state = 'given_up' OR state = 'reported' AND EXISTS (
  SELECT 1 FROM commitment_reference r
  WHERE r.commitment_id = c.commitment_id AND r.failure_reason <> {COMMITTED}))
"""  # noqa: S608 - a constant
_OPEN_ONES: Final = f"{_NAMED} AND state IN ('verifying', 'reporting')"
_REFERENCED: Final = """
SELECT r.sop_instance_uid, r.failure_reason FROM commitment c JOIN commitment_reference r
USING (commitment_id) WHERE c.task_id = ?
ORDER BY iif(r.failure_reason IS NULL, 1, iif(r.failure_reason = 0, 2, 0)), r.position LIMIT ?
"""
_WORDS: Final = " ".join(f"WHEN {one} THEN '{reason_words(one)}'" for one in FAILURE_REASONS)

# Of a row `c` of a task beside its transaction: `commitment` is its state.
STATUS: Final = """
CASE c.commitment
  WHEN 'verifying' THEN 'In Progress'
  WHEN 'reporting' THEN iif(c.reports > 0, 'On Hold', 'In Progress')
  WHEN 'reported' THEN iif(c.dead > 0, 'Failed', 'Completed')
  ELSE iif(c.was_cancelled, 'Cancelled', 'Failed') END
"""
REASON: Final = f"""
CASE c.commitment
  WHEN 'verifying' THEN printf('%d of %d are not yet kept where they are owed', c.waiting, c.objects)
  WHEN 'reporting' THEN iif(c.reports > 0, 'the station did not take the report, it is tried again: '
    || c.report_error, 'the report is on its way')
  WHEN 'reported' THEN iif(c.dead > 0, printf('%d of %d not committed: ', c.dead, c.objects) || (
    SELECT CASE failure_reason {_WORDS} ELSE printf('0x%04X', failure_reason) END
    FROM commitment_reference WHERE commitment_id = c.commitment_id AND failure_reason <> {COMMITTED}
    GROUP BY failure_reason ORDER BY count(*) DESC LIMIT 1), '')
  ELSE iif(c.was_cancelled, c.report_error, 'the station never took the report: ' || c.report_error)
END
"""  # noqa: S608 - a constant


def opened(connection: sqlite3.Connection, commitment_id: int, station: str, now: float) -> None:
    """A task for the transaction."""
    values = (int(Priority.MEDIUM), station, _study(connection, commitment_id), now)
    task_id = connection.execute(_OPEN, values).lastrowid
    connection.execute(
        "UPDATE commitment SET task_id = ? WHERE commitment_id = ?", (task_id, commitment_id)
    )
    connection.execute(EVENT, (now, task_id, None, "created", station, None))


def noted(
    connection: sqlite3.Connection,
    commitment_id: int,
    event: tuple[str, str],
    now: float,
    *,
    ended: bool = False,
) -> None:
    """A line in the log of its task, which is open or has ended from now on."""
    row = connection.execute(
        "SELECT task_id FROM commitment WHERE commitment_id = ?", (commitment_id,)
    ).fetchone()
    kind, message = event
    connection.execute(EVENT, (now, row[0], None, kind, message, None))
    connection.execute(
        "UPDATE task SET last_modified_at = ?1, ended_at = iif(?2, ?1, NULL), "
        "study_instance_uid = iif(study_instance_uid = '', ?3, study_instance_uid) "
        "WHERE task_id = ?4",
        (now, ended, _study(connection, commitment_id), row[0]),
    )


def begun_again(
    connection: sqlite3.Connection, commitment_id: int, event: tuple[str, str], now: float
) -> None:
    """What was committed stays so; what was not is verified anew, as if it was asked just now."""
    connection.execute(
        "UPDATE commitment_reference SET failure_reason = NULL "
        "WHERE commitment_id = ? AND failure_reason <> ?",
        (commitment_id, COMMITTED),
    )
    connection.execute(
        "UPDATE commitment SET state = 'verifying', asked_at = ?1, due_at = ?1, attempts = 0, "
        "decided_at = NULL, ended_at = NULL, last_error = '', cancelled = 0 "
        "WHERE commitment_id = ?2",
        (now, commitment_id),
    )
    noted(connection, commitment_id, event, now)


def retry(connection: sqlite3.Connection, task_ids: Sequence[int], by: str, now: float) -> int:
    """Verify and report again what was not committed or not told; how many transactions."""
    rows = connection.execute(_FAILED, (json.dumps(list(task_ids)),)).fetchall()
    for (commitment_id,) in rows:
        begun_again(connection, commitment_id, ("retried", f"by {by}" if by else ""), now)
    return len(rows)


def cancel(connection: sqlite3.Connection, task_ids: Sequence[int], by: str, now: float) -> int:
    """Tell the stations nothing any more; how many transactions. They delete nothing untold."""
    rows = connection.execute(_OPEN_ONES, (json.dumps(list(task_ids)),)).fetchall()
    words = f"cancelled by {by}" if by else "cancelled"
    for (commitment_id,) in rows:
        connection.execute(
            "UPDATE commitment SET state = 'given_up', cancelled = 1, ended_at = ?, last_error = ? "
            "WHERE commitment_id = ?",
            (now, words, commitment_id),
        )
        noted(connection, commitment_id, ("cancelled", f"by {by}" if by else ""), now, ended=True)
    return len(rows)


def referenced(connection: sqlite3.Connection, task_id: int, limit: int) -> tuple[Referenced, ...]:
    """The instances it names: those not committed first, then those not decided."""
    return tuple(Referenced(*row) for row in connection.execute(_REFERENCED, (task_id, limit)))


def forget(connection: sqlite3.Connection, before: float) -> int:
    """Delete what ended before then, with its tasks; how many."""
    gone = connection.execute(
        "DELETE FROM commitment WHERE ended_at < ? RETURNING task_id", (before,)
    ).fetchall()
    connection.executemany("DELETE FROM event WHERE task_id = ?", gone)
    connection.executemany("DELETE FROM task WHERE task_id = ?", gone)
    return len(gone)


def _study(connection: sqlite3.Connection, commitment_id: int) -> str:
    """The study of the first instance that is known here; '' while none is."""
    row = connection.execute(_STUDY, (commitment_id,)).fetchone()
    return row[0] if row else ""
