"""The Task Log as a table, as CSV and as JSON; with patient and study for whoever may read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from router.cli.common import iso_time, table
from router.flow.patients import STUDY, told
from router.flow.told import task_json
from router.model.task import Task
from router.store.catalogue import Catalogue
from router.store.keys import KeyRing
from router.store.ledger import Ledger

Patients = Mapping[str, Mapping[str, str]]
"""By Study Instance UID."""

_FORMULAS: Final = ("=", "+", "-", "@")
_HEADS: Final = (
    *("ID", "DIRECTION", "STATUS", "PRI", "STATION", "OBJECTS", "PROGRESS", "CREATED", "REASON"),
)
_PATIENT_HEADS: Final = {
    "patient_name": "PATIENT",
    "patient_id": "PATIENT ID",
    "accession_number": "ACCESSION",
    "study_date": "STUDY DATE",
}


def patients_of(tasks: Iterable[Task], ledger: Ledger, keys: Path) -> Patients:
    """Whose studies they are, of those that are held. Raises StoreDown without the key ring."""
    catalogue = Catalogue(ledger, KeyRing.open(keys))
    try:
        catalogue.follow()
        found = {one.study_instance_uid: None for one in tasks}
        held = {uid: catalogue.study(uid) for uid in found}
        return {uid: told(attributes) for uid, attributes in held.items() if attributes is not None}
    finally:
        catalogue.close()


def as_json(tasks: Iterable[Task], patients: Patients | None) -> list[dict[str, Any]]:
    """Each task as `tasks list --format json` prints it."""
    if patients is None:
        return [task_json(task) for task in tasks]
    return [{**task_json(task), "patient": patients.get(task.study_instance_uid)} for task in tasks]


def as_table(tasks: Iterable[Task], patients: Patients | None) -> str:
    """One line a task."""
    rows = [[*_HEADS, *(() if patients is None else _PATIENT_HEADS.values())]]
    rows += [
        [
            str(task.task_id),
            task.direction,
            task.status,
            task.priority,
            task.station,
            str(task.objects),
            f"{task.delivered}/{task.objects}",
            iso_time(task.created_at) or "",
            task.status_reason,
            *_patient(task, patients, tuple(_PATIENT_HEADS)),
        ]
        for task in tasks
    ]
    return table(rows)


def as_csv(tasks: Iterable[Task], patients: Patients | None) -> str:
    """Every column (RFC 4180)."""
    columns = [*(field.name for field in fields(Task)), "direction"]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*columns, *(() if patients is None else STUDY)])
    for task in tasks:
        row = [getattr(task, name) for name in columns]
        times = {name: iso_time(getattr(task, name)) for name in columns if name.endswith("_at")}
        row = [times.get(name, value) for name, value in zip(columns, row, strict=True)]
        row += _patient(task, patients, tuple(STUDY))
        # A spreadsheet must not take a text of ours for a formula.
        writer.writerow([f"'{one}" if str(one)[:1] in _FORMULAS else one for one in row])
    return buffer.getvalue()


def objects_table(told: Mapping[str, Any]) -> str:
    """The deliveries of one task, or the instances of a commitment, one a line."""
    if told["task"]["kind"] == "commit":
        words = {True: "committed", False: "not committed", None: "not decided"}
        named = [
            [one["sop_instance_uid"], words[one["committed"]], one["reason"]]
            for one in told["references"]
        ]
        return table([["SOP INSTANCE UID", "STATE", "REASON"], *named])
    rows = [["SOP INSTANCE UID", "STATE", "ATTEMPTS", "STATUS", "LAST ANSWER"]]
    for one in told["deliveries"]:
        status = one["last_status"]
        answered = "" if status is None else f"0x{status:04X}"
        facts = [one["sop_instance_uid"], one["state"], str(one["attempts"]), answered]
        rows.append([*facts, one["last_error"]])
    return table(rows)


def _patient(task: Task, patients: Patients | None, names: Sequence[str]) -> list[str]:
    if patients is None:
        return []
    whose = patients.get(task.study_instance_uid, {})
    return [whose.get(name, "") for name in names]
