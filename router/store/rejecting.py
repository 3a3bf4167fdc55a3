"""Rejections in the ledger: the register, what a note does to what is held, whom the note goes to.

The register is kept for good: an object that arrives after the note that rejects it is kept apart.
A note follows what its objects went through at each station: the same recipe, and behind the last
of them that is on its way. Nothing here asks a station or reads a record, so that recovery does it
all again from the journal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from router.model.delivery import Priority, State
from router.model.instance import Instance
from router.model.recipe import Recipe
from router.model.rejection import (
    CANCELLING,
    HIDING,
    QUALITY,
    REFUSED_LATER,
    RETENTION,
    Rejection,
    title,
)
from router.model.rule import Owed
from router.store import cataloguing
from router.store.counting import Counts
from router.store.task_log import END_TASK, EVENT

RELAYED: Final = "rejection note"
# Steps by which UIDs change: a note needs one version for each way they did.
_UID_STEPS: Final = frozenset({"remap_uids", "deidentify"})

_KNOWN: Final = """
SELECT sop_instance_uid, code, rejected_at FROM rejection
WHERE sop_instance_uid IN (SELECT value FROM json_each(?))
"""
_REGISTER: Final = "INSERT OR IGNORE INTO rejection VALUES (?, ?, ?, ?)"
_NAMED: Final = "json_each(?1) named CROSS JOIN instance i ON i.sop_instance_uid = named.value"
_WITHHOLD: Final = """
UPDATE instance SET withheld = ?2
WHERE (withheld IS NULL OR withheld = '113039') AND (?3 IS NULL OR received_at <= ?3)
  AND sop_instance_uid IN (SELECT value FROM json_each(?1))
"""
_SERIES: Final = f"SELECT DISTINCT study_instance_uid, series_instance_uid FROM {_NAMED}"  # noqa: S608 - constants
_UNSENT: Final = f"""
SELECT d.delivery_id, d.task_id, d.station FROM {_NAMED}
CROSS JOIN delivery d ON d.instance_id = i.instance_id
WHERE d.state = 'queued' AND (?2 IS NULL OR d.station IN (SELECT value FROM json_each(?2)))
"""  # noqa: S608 - constants
_CANCEL: Final = """
UPDATE delivery SET state = 'cancelled', last_error = ?, changed_at = ? WHERE delivery_id = ?
"""
# A station has an object, or may have it: it answered, is being sent it, or a try broke off.
_HAVE: Final = f"""
SELECT d.station, d.recipe_digest, r.steps FROM {_NAMED}
CROSS JOIN delivery d ON d.instance_id = i.instance_id JOIN recipe r ON r.digest = d.recipe_digest
WHERE d.station IN (SELECT value FROM json_each(?2))
  AND (d.state IN ('queued', 'sending', 'sent', 'delivered', 'dead') OR d.attempts > 0
       OR d.state = 'moved' AND d.failures > 0)
GROUP BY d.station, d.recipe_digest ORDER BY d.station, count(*) DESC, d.recipe_digest
"""  # noqa: S608 - constants
_UNSEEN: Final = """
SELECT EXISTS (SELECT 1 FROM json_each(?) named WHERE NOT EXISTS (
  SELECT 1 FROM instance i WHERE i.sop_instance_uid = named.value))
"""
# The same note, whoever brought it: what is under way or done is not sent once more.
_SENT: Final = """
SELECT d.station, d.recipe_digest FROM instance i JOIN delivery d USING (instance_id)
WHERE i.sop_instance_uid = ? AND i.content_digest = ?
  AND d.state IN ('queued', 'sending', 'sent', 'delivered')
"""
_APPLIED: Final = """
SELECT EXISTS (
  SELECT 1 FROM instance i WHERE i.sop_instance_uid = ?1 AND i.content_digest = ?2
    AND i.instance_id <> ?3 AND EXISTS (SELECT 1 FROM rejection r WHERE r.note_id = i.instance_id))
"""
_FOLLOW: Final = f"""
INSERT OR IGNORE INTO delivery_behind (earlier_id, delivery_id)
SELECT d.delivery_id, own.delivery_id FROM {_NAMED}
CROSS JOIN delivery d ON d.instance_id = i.instance_id
JOIN delivery own ON own.instance_id = ?2 AND own.station = d.station AND own.state = 'queued'
WHERE d.state IN ('queued', 'sending') AND d.instance_id <> ?2
"""  # noqa: S608 - constants
_CALLED_BACK: Final = """
SELECT d.delivery_id, d.task_id, d.station, i.withheld FROM json_each(?1) wanted
CROSS JOIN delivery d ON d.delivery_id = wanted.value JOIN instance i USING (instance_id)
WHERE d.state = 'queued' AND i.withheld IN (SELECT value FROM json_each(?2))
"""


class Register:
    """What the register says of the objects of one batch, as the batch itself adds to it.

    `known` is empty where nothing of the batch was rejected: SOP Instance UID → (code, time).
    """

    def __init__(self, connection: sqlite3.Connection, uids: Sequence[str]) -> None:
        self._connection = connection
        self.known: dict[str, list[tuple[str, float]]] = {}
        for uid, code, at in connection.execute(_KNOWN, (json.dumps(uids),)):
            self.known.setdefault(uid, []).append((code, at))

    def withheld(self, instance: Instance) -> str | None:
        """The code for which the instance is kept apart, if it is.

        What arrived before a note for quality was sent, or waits in front of the note.
        """
        for code, at in self.known.get(instance.sop_instance_uid, ()):
            is_late = code in REFUSED_LATER and instance.received_at > at
            if is_late or code in CANCELLING:
                return code
        return None

    def add(self, note_id: int, note: Instance, rejection: Rejection) -> None:
        """Write down what a note rejects."""
        at = note.received_at
        rows = [(uid, note_id, rejection.code, at) for uid in rejection.references]
        self._connection.executemany(_REGISTER, rows)
        for uid in rejection.references:
            self.known.setdefault(uid, []).append((rejection.code, at))


def was_applied(connection: sqlite3.Connection, note_id: int, note: Instance) -> bool:
    """Whether the same note came before: what came or was sent in between knew of it."""
    wanted = (note.sop_instance_uid, note.content_digest, note_id)
    return bool(connection.execute(_APPLIED, wanted).fetchone()[0])


def apply(
    connection: sqlite3.Connection, counts: Counts, note: Instance, rejection: Rejection, now: float
) -> None:
    """Cancel and hide what is held of the objects that a note rejects, as its code says."""
    code, named = rejection.code, json.dumps(rejection.references)
    stations = None if code in CANCELLING else json.dumps(rejection.cancel_unsent)
    if code in CANCELLING or (code == QUALITY and rejection.cancel_unsent):
        rows = connection.execute(_UNSENT, (named, stations)).fetchall()
        cancel(connection, counts, rows, f"rejected: {title(code)}", now)
    if code in HIDING:
        until = note.received_at if code == RETENTION else None
        connection.execute(_WITHHOLD, (named, code, until))
        cataloguing.forget(connection, connection.execute(_SERIES, (named,)).fetchall())


def targets(
    connection: sqlite3.Connection,
    note: Instance,
    rejection: Rejection,
    by_rule: Collection[Owed],
) -> list[Owed]:
    """Whom the note goes to, and what is done to it for each.

    Stations that want notes and have, or may have, one of its objects; those that rules name for the
    note as well where an object never came through here: the station may have it from elsewhere.
    """
    if rejection.code == RETENTION:
        return []
    named, stations = json.dumps(rejection.references), json.dumps(rejection.stations)
    priority = Priority.HIGH if rejection.code in CANCELLING else Priority.MEDIUM
    found: dict[tuple[str, str], Owed] = {}
    for station, digest, steps in connection.execute(_HAVE, (named, stations)):
        recipe = Recipe(steps, digest)
        key = (station, _uid_steps(recipe))
        found.setdefault(key, Owed(station, recipe, priority, RELAYED))
    served = {station for station, _ in found}
    if connection.execute(_UNSEEN, (named,)).fetchone()[0]:
        for one in by_rule:
            if one.station in rejection.stations and one.station not in served:
                found.setdefault((one.station, _uid_steps(one.recipe)), one)
    sent = connection.execute(_SENT, (note.sop_instance_uid, note.content_digest)).fetchall()
    return [one for one in found.values() if (one.station, one.recipe.digest) not in sent]


def follow(connection: sqlite3.Connection, note_id: int, rejection: Rejection) -> None:
    """Let the deliveries of the note wait for those of its objects, station by station."""
    connection.execute(_FOLLOW, (json.dumps(rejection.references), note_id))


def call_back(
    connection: sqlite3.Connection, counts: Counts, delivery_ids: Sequence[int], now: float
) -> None:
    """Cancel what was rejected while it was being sent and is about to wait again."""
    wanted = json.dumps(list(delivery_ids)), json.dumps(sorted(CANCELLING))
    rows = connection.execute(_CALLED_BACK, wanted).fetchall()
    for code in {row[3] for row in rows}:
        mine = [row[:3] for row in rows if row[3] == code]
        cancel(connection, counts, mine, f"rejected: {title(code)}", now)


def cancel(
    connection: sqlite3.Connection,
    counts: Counts,
    rows: Sequence[tuple[int, int, str]],
    reason: str,
    now: float,
) -> None:
    """Cancel queued (delivery id, task id, station), with one line in the log of each task."""
    tasks: dict[int, int] = {}
    for delivery_id, task_id, station in rows:
        connection.execute(_CANCEL, (reason, now, delivery_id))
        counts.moved(station, State.QUEUED, State.CANCELLED)
        tasks[task_id] = tasks.get(task_id, 0) + 1
    for task_id, number in tasks.items():
        message = f"{number} deliveries, {reason}"
        connection.execute(EVENT, (now, task_id, None, "cancelled", message, None))
        connection.execute(END_TASK, (now, task_id))


def _uid_steps(recipe: Recipe) -> str:
    return json.dumps([step for step in recipe.unpacked() if step[0] in _UID_STEPS])
