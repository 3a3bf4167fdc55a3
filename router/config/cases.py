"""Rule tests: what `*.test.yaml` files say, checked as the configuration is.

    tests:
      - name: a chest CT goes to the cloud
        given: {from: ct-1, dataset: {Modality: CT, StudyDescription: RX CHEST}}
        expect: {rules: [...], route: [...], sent_to: {cloud: {PatientName: {absent: true}}}}

Values keep their raw text, as in `match`. Every mistake is a problem with its place; stations, rules
and attributes that do not exist are among them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.config import shapes
from router.config.nodes import Mapping, Node, Sequence, place_at, raw
from router.config.plugged import Plugs
from router.config.report import Report
from router.config.schema import Shapes
from router.config.suggest import did_you_mean
from router.config.text import decode, parse
from router.dicom.tags import PathError, parse_path
from router.match.named_facts import WEEKDAYS
from router.model.plan import Plan
from router.model.problem import Place

SUFFIX: Final = ".test.yaml"
MAX_FILES: Final = 1_000
_OUTCOMES: Final = ("routed", "unmatched", "discarded", "refused", "quarantined")
_VALUES: Final = {
    "type": "object",
    "title": "a mapping of attributes",
    "description": "Attribute to value: a text, a list of texts, or an operator.",
}
_GIVEN: Final = shapes.mapping(
    "The instance: who sends it and what it holds.",
    {
        "from": shapes.text("The station that sends it.", examples=["ct-1"]),
        "calling_ae_title": shapes.text("The AE title that calls, of nobody in particular."),
        "called_ae_title": shapes.text("The AE title that is called."),
        "listener": shapes.text("The listener it comes to."),
        "address": shapes.text("The address it comes from.", examples=["10.1.1.21"]),
        "time": shapes.text("The local time it comes at.", pattern=r"^\d{2}:\d{2}$"),
        "weekday": shapes.choice("The day it comes on.", WEEKDAYS),
        "transfer_syntax": shapes.text("Its transfer syntax, as a UID."),
        "file": shapes.text("A DICOM file, relative to this file, instead of a data set."),
        "dataset": {**_VALUES, "description": "Attributes it holds."},
    },
)
_EXPECT: Final = shapes.mapping(
    "What must come of it; what is not named is not looked at.",
    {
        "rules": {
            "type": "array",
            "description": "The rules that act, in order.",
            "items": shapes.text("The name of a rule."),
        },
        "route": {
            "type": "array",
            "description": "The stations it is owed to, in any order.",
            "items": shapes.text("A station."),
        },
        "outcome": shapes.choice("What becomes of it.", _OUTCOMES),
        "sent_to": {
            "type": "object",
            "description": "Station to what it gets: attribute to value, text or operator.",
            "additionalProperties": _VALUES,
        },
        "fails_for": {
            "type": "array",
            "description": "Stations whose recipe fails, so that the delivery is quarantined.",
            "items": shapes.text("A station."),
        },
    },
)
CASE: Final = shapes.mapping(
    "One test.",
    {
        "name": shapes.text("What it shows.", examples=["a chest CT goes to the cloud"]),
        "given": _GIVEN,
        "expect": _EXPECT,
    },
    ("name", "given", "expect"),
)
FILE: Final = shapes.mapping(
    "Tests of the rules beside them.",
    {"tests": {"type": "array", "description": "The tests.", "items": {"type": "object"}}},
    ("tests",),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One test: `given` and `expect` as written, raw; `folder` is where `file` starts."""

    name: str
    given: AnyMapping[str, Any]
    expect: AnyMapping[str, Any]
    place: Place
    folder: Path


@dataclass(frozen=True, slots=True)
class Cases:
    """The tests of a folder, and the texts of their files by shown name."""

    cases: tuple[Case, ...]
    texts: AnyMapping[str, str]


def read_cases(folder: Path, plan: Plan, plugs: Plugs, report: Report) -> Cases:
    """Every test below the folder, in path order; fewer, with problems, where some are wrong."""
    checker = _Checker(plan, Shapes(plugs, report), report)
    found: list[Case] = []
    texts: dict[str, str] = {}
    for path in _files(folder):
        shown = path.relative_to(folder).as_posix()
        text = decode(path.read_bytes(), shown, report)
        root = parse(text, shown, report) if text is not None else None
        if root is None or text is None:
            continue
        texts[shown] = text
        found += checker.cases(root, path.parent)
    return Cases(tuple(found), texts)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(where, name)
            for name in names
            if name.endswith(SUFFIX) and not name.startswith(".")
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)[:MAX_FILES]


class _Checker:
    def __init__(self, plan: Plan, checks: Shapes, report: Report) -> None:
        self._plan = plan
        self._shapes = checks
        self._report = report
        self._rules = {rule.name for rule in plan.rules}

    def cases(self, root: Node, folder: Path) -> list[Case]:
        self._shapes.check(root, FILE, ())
        listed = root.entries.get("tests") if isinstance(root, Mapping) else None
        if listed is None or not isinstance(listed.value, Sequence):
            return []
        found = []
        for index, node in enumerate(listed.value.items):
            checked = self._shapes.check(node, CASE, ("tests", index), node.place)
            if not checked.is_fine:
                continue
            written = raw(node)
            if self._is_known(node, written):
                found.append(
                    Case(
                        str(written["name"]),
                        written["given"],
                        written["expect"],
                        node.place,
                        folder,
                    )
                )
        return found

    def _is_known(self, node: Node, case: AnyMapping[str, Any]) -> bool:
        given, expect = case["given"], case["expect"]
        sound = [
            self._name(node, given.get("from"), self._plan.stations, ("given", "from")),
            self._attributes(node, given.get("dataset", {}), ("given", "dataset")),
        ]
        for key, known in (
            ("rules", self._rules),
            ("route", self._plan.stations),
            ("fails_for", self._plan.stations),
        ):
            sound += [
                self._name(node, name, known, ("expect", key, index))
                for index, name in enumerate(expect.get(key, []))
            ]
        for station, values in expect.get("sent_to", {}).items():
            at = ("expect", "sent_to", station)
            sound.append(self._name(node, station, self._plan.stations, at, at_key=True))
            sound.append(self._attributes(node, values, at))
        return all(sound)

    def _name(
        self, node: Node, name: Any, known: Any, path: tuple[Any, ...], *, at_key: bool = False
    ) -> bool:
        if name is None or name in known:
            return True
        hint = did_you_mean(str(name), known) or ""
        place = place_at(node, path, at_key=at_key)
        self._report.error("DR203", f"'{name}' is not defined", place, hint=hint)
        return False

    def _attributes(self, node: Node, values: Any, path: tuple[Any, ...]) -> bool:
        sound = True
        for name in values:
            try:
                parse_path(str(name))
            except PathError as error:
                place = place_at(node, (*path, name), at_key=True)
                hint = f"did you mean {error.hint}?" if error.hint else ""
                self._report.error("DR210", str(error), place, hint=hint)
                sound = False
        return sound
