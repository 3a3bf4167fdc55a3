"""The ledger's rows of earlier studies to be fetched: noticed, due, done.

A study is noticed once for each rule, by its first instance that did not come from an archive.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from router.store.ledger import Prior

_BATCH: Final = 2000
_MARK: Final = "SELECT instance_id FROM prior_mark"
_BEGIN: Final = """
UPDATE prior_mark SET instance_id = coalesce((
  SELECT instance_id FROM instance WHERE plan_digest <> ? ORDER BY instance_id DESC LIMIT 1), 0)
"""
_NEWEST: Final = """
SELECT max(instance_id) FROM (
  SELECT instance_id FROM instance WHERE instance_id > ? ORDER BY instance_id LIMIT ?)
"""
# By the ids of the window, not by an index that leads through all that was ever received.
_NOTICE: Final = """
INSERT OR IGNORE INTO prior
  (study_instance_uid, rule, instance_id, state, due_at, created_at, changed_at)
SELECT i.study_instance_uid, r.value, min(i.instance_id), 'waiting', 0, ?5, ?5
FROM instance i NOT INDEXED, json_each(i.rules) r
WHERE i.instance_id > ?1 AND i.instance_id <= ?2 AND i.study_instance_uid <> ''
  AND i.disposition IN ('routed', 'unmatched') AND i.segment IS NOT NULL
  AND r.value IN (SELECT value FROM json_each(?3))
  AND coalesce(i.source_station, '') NOT IN (SELECT value FROM json_each(?4))
GROUP BY i.study_instance_uid, r.value
"""
_DUE: Final = """
SELECT prior_id, study_instance_uid, rule, instance_id, state, tries, due_at, message, created_at
FROM prior WHERE state = 'waiting' AND (due_at <= ?1 OR changed_at > ?1)
ORDER BY due_at, prior_id LIMIT ?2
"""
_LISTED: Final = """
SELECT prior_id, study_instance_uid, rule, instance_id, state, tries, due_at, message, created_at
FROM prior ORDER BY prior_id DESC LIMIT ?
"""
_SETTLE: Final = """
UPDATE prior SET state = ?, tries = tries + ?, due_at = ?, message = ?, changed_at = ?
WHERE prior_id = ?
"""


def notice(
    connection: sqlite3.Connection,
    rules: Collection[str],
    archives: Collection[str],
    plan_digest: str,
    at: float,
) -> int:
    """Note the studies that came since somebody looks; how many.

    Without rules nobody looks: what comes meanwhile is not noticed later either. Who begins to look
    begins with what came under this plan, however late it is.
    """
    (mark,) = connection.execute(_MARK).fetchone()
    if not rules or mark < 0:
        if rules:
            connection.execute(_BEGIN, (plan_digest,))
            (mark,) = connection.execute(_MARK).fetchone()
        elif mark >= 0:
            connection.execute("UPDATE prior_mark SET instance_id = -1")
    if not rules:
        return 0
    (upto,) = connection.execute(_NEWEST, (mark, _BATCH)).fetchone()
    if upto is None:
        return 0
    names, passed = json.dumps(sorted(rules)), json.dumps(sorted(archives))
    found = connection.execute(_NOTICE, (mark, upto, names, passed, at)).rowcount
    connection.execute("UPDATE prior_mark SET instance_id = ?", (upto,))
    return found


def due(connection: sqlite3.Connection, now: float, limit: int) -> tuple[Prior, ...]:
    """What is to be fetched now, the longest waiting first.

    Also what was changed ahead of now: then the clock was set back, and its time means nothing.
    """
    return tuple(Prior(*row) for row in connection.execute(_DUE, (now, limit)))


def listed(connection: sqlite3.Connection, limit: int) -> tuple[Prior, ...]:
    """What was noticed, the latest first."""
    return tuple(Prior(*row) for row in connection.execute(_LISTED, (limit,)))


def settle(
    connection: sqlite3.Connection,
    prior_id: int,
    state: str,
    due_at: float,
    message: str,
    at: float,
    *,
    tried: bool,
) -> None:
    """Note what a try came to, or why there was none."""
    connection.execute(_SETTLE, (state, int(tried), due_at, message, at, prior_id))
