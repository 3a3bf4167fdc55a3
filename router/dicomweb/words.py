"""What a server said, made fit for a row and a page: short, printable, without values.

Servers quote attribute values and echo what they were sent. What stands in quotation marks, looks
like a token, or is a long number is left out; markup and control characters too.
"""

from __future__ import annotations

import re
from typing import Final

_MARKUP: Final = re.compile(
    r"<(?:script|style)\b.{0,4000}?</(?:script|style)>|<[^<>]{0,1000}>", re.IGNORECASE | re.DOTALL
)
_QUOTED: Final = re.compile(r"\"[^\"]{1,400}\"|'[^']{1,400}'|\u201c[^\u201d]{1,400}\u201d")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_=~-]{24,}(?:\.[A-Za-z0-9+/_=~-]+)*")
_SECRET: Final = re.compile(r"(?i)\b(bearer|basic|secret|password|token|assertion)\b([\s=:]+)\S+")
_READ_AT_MOST: Final = 4096


def scrubbed(text: str, max_length: int = 160) -> str:
    """At most `max_length` printable characters of the text, without values it may quote."""
    if not text:
        return ""
    text = _MARKUP.sub(" ", text[:_READ_AT_MOST])
    text = _QUOTED.sub("…", text)
    text = _SECRET.sub(r"\1\2…", text)
    text = _TOKEN.sub("…", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
