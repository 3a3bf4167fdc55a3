"""Entity tags in conditions: If-Match, If-None-Match and If-Range (RFC 9110 8.8.3, 13.1)."""

from __future__ import annotations

from collections.abc import Mapping


def has_match(header: str, etag: str, *, is_strong: bool = False) -> bool:
    """Whether a list of entity tags, or `*`, names this one; strong ones alone where they must be."""
    written = [one.strip() for one in header.split(",")]
    if not is_strong:
        written = [one.removeprefix("W/") for one in written]
    return bool(etag) and ("*" in written or etag in written)


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Whether whoever asks has that very thing already: the answer is 304."""
    return has_match(headers.get("if-none-match", ""), etag)
