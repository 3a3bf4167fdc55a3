"""What a retrieval from a station came to, in words for people."""

from __future__ import annotations

from router.model.query import MoveProgress
from router.model.status import describe


def verdict(last: MoveProgress | None, failure: str) -> tuple[bool, str]:
    """Whether everything came, and why not; `last` is the station's last answer."""
    if failure:
        return False, failure
    if last is None or last.status == 0xFF00:
        return False, "cancelled; the station did not stop, we hung up"
    said = "0xB000 not all could be sent" if last.status == 0xB000 else describe(last.status)
    message = f"{said}; {counts(last)}"
    if last.comment:
        message = f"{message}; {last.comment}"
    if last.status != 0 or last.failed:
        return False, message
    if last.completed == 0 and not last.warnings:
        return False, f"{message}: it holds no such study"
    return True, message


def counts(progress: MoveProgress) -> str:
    """The counts the station gave, in words."""
    named = (
        ("sent", progress.completed),
        ("sent with warnings", progress.warnings),
        ("failed", progress.failed),
        ("to come", progress.remaining),
    )
    words = [f"{count} {name}" for name, count in named if count is not None]
    return ", ".join(words) or "the station gives no counts"
