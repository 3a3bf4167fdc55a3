"""How `top` shows its picture: lines that fit a terminal, what needs a person before the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from router.cli.common import table

SILENT_SECONDS: Final = 5.0
_UNITS: Final = ("B", "KB", "MB", "GB", "TB")
_LEAST_STATIONS: Final = 3
_INDENT: Final = 11
# Below so many columns of a terminal something is left out.
_WIDE: Final = 100
_BYTES: Final = 6


def picture_lines(
    picture: dict[str, Any],
    *,
    width: int | None = None,
    height: int | None = None,
    styled: bool = False,
) -> list[str]:
    """The lines, cut to the width; of the stations as many as the height has room for."""
    is_narrow = width is not None and width < _WIDE
    head = _head(picture, width)
    failures = _failures(picture["failures"], picture["at"] if is_narrow else "")
    stations = sorted(picture["stations"], key=_urgency)
    room = len(stations)
    if height is not None:
        # Two empty lines, the heading of the table, and the line that says how many are left out.
        room = max(_LEAST_STATIONS, height - len(head) - len(failures) - 4)
    rows = [["STATION", "STATUS", "QUEUED", "OLDEST", "IN/S", "OUT/S", "OUT", "REASON"]]
    rows += [_row(one) for one in stations[:room]]
    if is_narrow:  # a reason says more than bytes
        rows = [row[:_BYTES] + row[_BYTES + 1 :] for row in rows]
    body = table(rows, numbers=range(2, len(rows[0]) - 1)).split("\n")
    if len(stations) > room:
        body.append(f"and {len(stations) - room} more stations")
    offline = {
        number for number, one in enumerate(stations[:room], 1) if one["status"] == "offline"
    }
    lines = [_cut(line, width) for line in head]
    shown = [_cut(line, width) for line in body]
    if styled:
        lines[0] = click.style(lines[0], bold=True)
        shown = [
            click.style(line, bold=not number, fg="red" if number in offline else None)
            for number, line in enumerate(shown)
        ]
    lines += ["", *shown]
    if failures:
        lines += ["", *(_cut(line, width) for line in failures)]
    return lines[:height]


def _head(picture: dict[str, Any], width: int | None) -> list[str]:
    state = "running" if picture["running"] else "NOT RUNNING"
    roles = [
        f"{name} {'ok' if age < SILENT_SECONDS else f'SILENT {age:.0f} s'}"
        for name, age in picture["roles"].items()
    ]
    account = picture["account"]
    counts = [f"{account[name]} {name}" for name in account if name != "balanced"]
    balanced = "balanced" if account["balanced"] else "NOT BALANCED"
    into = f"{picture['received_per_second']:g}/s  {_bytes(picture['received_bytes_per_second'])}/s"
    out = (
        f"{picture['delivered_per_second']:g}/s  {_bytes(picture['delivered_bytes_per_second'])}/s"
    )
    return [
        f"{picture['router']}  {state}  {picture['at']}",
        *_told("roles", roles or ["-"], width),
        f"in         {into}  {picture['associations_open']} associations open",
        f"out        {out}",
        *_told("account", [balanced, *counts], width),
        f"disk       {_bytes(picture['storage_free_bytes'])} free",
    ]


def _told(name: str, cells: Iterable[str], width: int | None) -> list[str]:
    """What is told under a name, in as many lines as it needs."""
    lines = [f"{name:<{_INDENT}}"]
    for cell in cells:
        is_first = len(lines[-1]) == _INDENT
        longer = f"{lines[-1]}{'' if is_first else '  '}{cell}"
        if width is None or is_first or len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(" " * _INDENT + cell)
    return lines


def _row(one: dict[str, Any]) -> list[str]:
    age = one["oldest_seconds"]
    return [
        one["name"],
        one["status"],
        str(one["queued"]),
        "-" if age is None else _age(age),
        f"{one['received_per_second']:g}",
        f"{one['delivered_per_second']:g}",
        f"{_bytes(one['delivered_bytes_per_second'])}/s",
        printable(one["reason"]),
    ]


def _failures(failures: Iterable[dict[str, Any]], day_of: str) -> list[str]:
    """In few characters where a day is given: that of the picture is left out."""
    rows = [
        [
            _shortened(one["at"], day_of),
            one["station"],
            f"task {one['task_id']}",
            one["kind"],
            printable(one["message"]),
        ]
        for one in failures
    ]
    return ["latest failures", *table(rows).split("\n")] if rows else []


def _shortened(at: str, day_of: str) -> str:
    if not day_of:
        return at
    day, _, time_of_day = at.partition("T")
    return time_of_day[:8] if day_of.startswith(day) else f"{day[5:]} {time_of_day[:5]}"


def _urgency(one: dict[str, Any]) -> tuple[bool, float, str]:
    return one["status"] != "offline", -(one["oldest_seconds"] or 0.0), one["name"]


def printable(text: str) -> str:
    """The text with what could move a cursor escaped: peers choose their words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(0, width - 1)] + "…"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(count: float) -> str:
    size = float(count)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes everything")
