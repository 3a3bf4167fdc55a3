"""Checked value types: AE titles and UIDs.

Both arrive from the network and are hostile strings until they passed here. Neither is ever used
to name anything on disk.
"""

from __future__ import annotations

import re

_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}\Z")
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*\Z")
_UID_LENIENT = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
MAX_UID_LENGTH = 64


def normalise_ae_title(text: str) -> str:
    """The AE title without its insignificant outer spaces (PS3.5 6.2, VR AE).

    Raises ValueError when it is empty, longer than 16 characters, or holds a backslash or a
    control character. Case is significant and kept.
    """
    title = text.strip(" ")
    if not title:
        raise ValueError("an AE title cannot be empty")
    if len(title) > 16:
        raise ValueError(f"an AE title has at most 16 characters, this one has {len(title)}")
    if not _AE_TITLE.match(title):
        raise ValueError("an AE title holds printable ASCII characters, and no backslash")
    return title


def is_valid_uid(text: str, *, lenient: bool = False) -> bool:
    """Whether the text is a UID (PS3.5 9.1); lenient also takes components with leading zeros."""
    pattern = _UID_LENIENT if lenient else _UID
    return len(text) <= MAX_UID_LENGTH and pattern.match(text) is not None
