"""From the texts of a folder to one document.

Sections are merged by top-level key: named things join, the same name defined twice is an error that
shows both places, `rules` are concatenated in path order. Nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from router.config.folder import Source
from router.config.nodes import Entry, Mapping, Node, Scalar, Sequence, is_null
from router.config.report import Report
from router.config.suggest import did_you_mean
from router.config.text import parse
from router.config.work import Work
from router.model.problem import Place

SECTIONS: Final = (
    "version",
    "router",
    "listeners",
    "tls",
    "defaults",
    "organizations",
    "stations",
    "rules",
    "morphs",
    "tables",
    "cache",
    "audit",
    "webhooks",
    "deploy",
)


def merge(sources: Iterable[Source], report: Report, work: Work | None = None) -> Mapping:
    """The document of all files, with as many sections as could be read. Raises TooMuchWork."""
    work = work or Work()
    document: Mapping | None = None
    for source in sources:
        root = parse(source.text, source.shown, report, work)
        if document is None:
            document = Mapping(source.shown, 1, 1, 1)
        if isinstance(root, Mapping):
            _merge_file(document, root, report)
        elif root is not None and not is_null(root):
            hint = "a file begins with a section, for example 'stations:'"
            report.error("DR102", "a file holds a mapping of sections", root.place, hint=hint)
    document = document or Mapping("", 1, 1, 1)
    _check_version(document, report)
    return document


def _merge_file(document: Mapping, root: Mapping, report: Report) -> None:
    for name, entry in root.entries.items():
        if name not in SECTIONS:
            hint = did_you_mean(name, SECTIONS)
            if name == "tests":
                hint = "rule tests live in files named *.test.yaml"
            report.error(
                "DR101", f"unknown section '{name}'", entry.key.place, path=name, hint=hint
            )
            # What it defines is not missing, it is only not understood.
            report.is_incomplete = report.is_incomplete or hint.startswith("did you mean")
        elif is_null(entry.value):
            continue
        elif name == "version":
            _merge_version(document, entry, report)
        elif name == "rules":
            _merge_rules(document, entry, report)
        elif isinstance(entry.value, Mapping):
            _merge_section(document, name, entry, entry.value, report)
        else:
            message = f"section '{name}' must be a mapping"
            hint = "names, each followed by a colon, not a list"
            report.error("DR102", message, entry.value.place, path=name, hint=hint)


def _merge_version(document: Mapping, entry: Entry, report: Report) -> None:
    first = document.entries.setdefault("version", entry)
    written = entry.value.value if isinstance(entry.value, Scalar) else None
    if written == 1 and isinstance(written, int) and not isinstance(written, bool):
        return
    report.error("DR104", "version must be 1", entry.value.place, path="version")
    if first is entry:
        document.entries["version"] = entry


def _merge_rules(document: Mapping, entry: Entry, report: Report) -> None:
    if not isinstance(entry.value, Sequence):
        hint = "begin each rule with '- name: …': their order is their meaning"
        report.error("DR102", "rules must be a list", entry.value.place, path="rules", hint=hint)
        return
    value = entry.value
    if "rules" not in document.entries:
        joined: Node = Sequence(value.file, value.line, value.column, value.length)
        document.entries["rules"] = Entry(entry.key, joined)
    rules = document.entries["rules"].value
    if isinstance(rules, Sequence):
        rules.items.extend(value.items)


def _merge_section(
    document: Mapping, name: str, entry: Entry, section: Mapping, report: Report
) -> None:
    if name not in document.entries:
        joined = Mapping(section.file, section.line, section.column, section.length)
        document.entries[name] = Entry(entry.key, joined)
    known = document.entries[name].value
    if not isinstance(known, Mapping):
        return
    for key, item in section.entries.items():
        first = known.entries.setdefault(key, item)
        if first is not item:
            report.error(
                "DR204",
                f"'{key}' in {name} is defined twice",
                item.key.place,
                path=f"{name}.{key}",
                other=first.key.place,
            )


def _check_version(document: Mapping, report: Report) -> None:
    if "version" not in document.entries and document.file and not report.has_errors:
        place = Place(document.file, 1, 1)
        report.error(
            "DR103",
            "no file says 'version: 1'",
            place,
            path="version",
            hint="begin with version: 1",
        )
