"""Findings: what a look at this machine found, each with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` says what to do, and is empty where nothing is to do."""

    check: str
    level: Level
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, fix: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(check, "warning", message, fix)


def problem(check: str, message: str, fix: str) -> Finding:
    """It does not work, or loses something."""
    return Finding(check, "problem", message, fix)


def has_problems(findings: Sequence[Finding]) -> bool:
    """Whether anything must be mended."""
    return any(one.level == "problem" for one in findings)


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """All of them, and how many of each level."""
    counts = Counter(one.level for one in findings)
    return {
        "ok": counts["ok"],
        "warnings": counts["warning"],
        "problems": counts["problem"],
        "findings": [asdict(one) for one in findings],
    }


def findings_text(findings: Sequence[Finding]) -> str:
    """A line each, the fix below it, and a sum."""
    width = max((len(one.check) for one in findings), default=0)
    lines: list[str] = []
    for one in findings:
        lines.append(f"{one.level:<8} {one.check:<{width}}  {one.message}")
        if one.fix:
            lines.append(f"{'':<{10 + width}} = {one.fix}")
    counts = Counter(one.level for one in findings)
    lines.append(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['problem']} problems")
    return "\n".join(lines)
