"""Names of registered UIDs (PS3.6 annex A), for rules people write and pages they read.

A SOP class or transfer syntax may be written as its UID, its name or its keyword. Nothing fails:
what is not registered has no UID and no name.
"""

from __future__ import annotations

import difflib
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary


def uid_for(name: str, kind: str = "") -> str:
    """The UID of a name or keyword, in any case; '' when none is registered.

    `kind` is the UID type of the register, such as `SOP Class` or `Transfer Syntax`.
    """
    return _by_name(kind).get(name.strip().lower(), "")


def uid_name(uid: str) -> str:
    """The registered name of a UID, or ''."""
    return UID_dictionary[uid][0] if uid in UID_dictionary else ""


def shown_uid(uid: str) -> str:
    """A UID for people: with its name before it, if it has one."""
    return f"{uid_name(uid)} ({uid})" if uid_name(uid) else uid


def uid_suggestions(name: str, kind: str = "") -> list[str]:
    """At most three registered keywords that look like the name, the likeliest first."""
    keywords = {
        entry[4].lower(): entry[4]
        for entry in UID_dictionary.values()
        if entry[4] and kind in entry[1]
    }
    near = difflib.get_close_matches(name.replace(" ", "").lower(), keywords, n=3, cutoff=0.6)
    return [keywords[word] for word in near]


@lru_cache(maxsize=8)
def _by_name(kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for uid, (name, entry_kind, _, _, keyword) in UID_dictionary.items():
        if kind in entry_kind:
            for word in (name, keyword):
                if word:  # some retired UIDs have neither
                    found.setdefault(word.lower(), uid)
    return found
