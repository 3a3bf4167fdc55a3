"""Look-ups between keywords, tags and VRs, and the text form of attribute paths.

Tags are integers 0xggggeeee. The dictionaries are pydicom's, the private one included. Nothing here
fails but `parse_path`, which raises PathError with a hint for whoever wrote the path.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import Final

from pydicom.datadict import (
    dictionary_VM,
    dictionary_VR,
    get_private_entry,
    keyword_dict,
    keyword_for_tag,
    tag_for_keyword,
)

from router.model.path import ALL_ITEMS, Path, PathStep

MAX_STEPS: Final = 8
_STEP: Final = re.compile(
    r"(?:(?P<open>\()?(?P<group>[0-9A-Fa-f]{4}),\s*"
    r"(?:(?P<element>[0-9A-Fa-f]{4})|\[(?P<creator>[^\]\\]{1,64})\],\s*(?P<low>[0-9A-Fa-f]{2}))"
    r"(?(open)\))"
    r"|(?P<plain>[0-9A-Fa-f]{8})(?![A-Za-z0-9])"
    r"|(?P<keyword>[A-Za-z][A-Za-z0-9]*))"
    r"(?:\[(?P<item>[0-9]{1,6}|\*)\])?(?=\.|\Z)"
)


class PathError(ValueError):
    """Text that names no attribute. `hint` is what was probably meant; `code` the problem code."""

    def __init__(self, message: str, *, hint: str = "", code: str = "DR211") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def tag_for(keyword: str) -> int | None:
    """The tag of a keyword (PS3.6), or None."""
    return tag_for_keyword(keyword)


@lru_cache(maxsize=16384)
def keyword_for(tag: int) -> str:
    """The keyword of a tag, or '' when it is private or unknown."""
    return keyword_for_tag(tag)


@lru_cache(maxsize=16384)
def all_vrs_for(tag: int, creator: str | None = None) -> tuple[str, ...]:
    """Every VR the dictionaries allow, such as ('US', 'SS'); ('UN',) when the tag is unknown.

    For a private element `creator` is its private creator; only the low byte of `tag` counts then.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return ("UL",)
    if group & 1:
        if 0x10 <= element <= 0xFF and creator is None:
            return ("LO",)
        if creator is None:
            return ("UN",)
        tag = (group << 16) | 0x1000 | (element & 0xFF)
    try:
        text = get_private_entry(tag, creator)[0] if creator and group & 1 else dictionary_VR(tag)
    except KeyError:
        return ("UN",)
    return tuple(vr for vr in text.split(" or ") if len(vr) == 2) or ("UN",)


def vr_for(tag: int, creator: str | None = None) -> str:
    """The VR of a tag; the first where context decides (US or SS, OB or OW); UN when unknown."""
    return all_vrs_for(tag, creator)[0]


@lru_cache(maxsize=4096)
def is_single_valued(tag: int, creator: str | None = None) -> bool:
    """Whether the standard gives the attribute at most one value (VM 1); no private one is."""
    if creator is not None or (tag >> 16) & 1:
        return False
    try:
        return dictionary_VM(tag) == "1"
    except KeyError:
        return False


def suggestions(word: str) -> list[str]:
    """At most three keywords that look like the word, the likeliest first."""
    folded = _folded_keywords()
    near = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.7)
    return [folded[name] for name in near]


@lru_cache(maxsize=1)
def _folded_keywords() -> dict[str, str]:
    return {keyword.lower(): keyword for keyword in keyword_dict if keyword}


def format_tag(tag: int) -> str:
    """The tag as people write it: (0008,0018)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def parse_path(text: str) -> Path:
    """The path a text names; the forms are in product.md 2 ("Keys are keywords, ...").

    Raises PathError: code DR210 for an unknown keyword, DR211 for any other fault.
    """
    steps: list[PathStep] = []
    position = 0
    while True:
        match = _STEP.match(text, position)
        if match is None:
            raise _no_attribute(text)
        steps.append(_step(match))
        if match.end() == len(text):
            break
        position = match.end() + 1
    _check_steps(text, steps)
    return Path(tuple(steps), text)


def _no_attribute(text: str) -> PathError:
    """For a name of the dictionary ("Patient's Name") its keyword is offered."""
    letters = re.sub(r"'s\b|[^A-Za-z0-9]", "", text)
    keyword = _folded_keywords().get(letters.lower())
    message = f"{text!r} is no attribute"
    if keyword is None:
        return PathError(message, hint='PatientID, "0010,0020" or Sequence[*].Keyword')
    return PathError(message, hint=_offered(keyword), code="DR210")


def _offered(keyword: str) -> str:
    return f"{keyword!r} {format_tag(tag_for(keyword) or 0)}"


def _step(match: re.Match[str]) -> PathStep:
    item_text = match["item"]
    item = None if item_text is None else ALL_ITEMS if item_text == "*" else int(item_text)
    if match["keyword"]:
        tag = tag_for(match["keyword"])
        if tag is None:
            near = suggestions(match["keyword"])
            hint = _offered(near[0]) if near else ""
            raise PathError(f"{match['keyword']!r} is no DICOM keyword", hint=hint, code="DR210")
        return PathStep(tag, None, item)
    if match["plain"]:
        return PathStep(int(match["plain"], 16), None, item)
    group = int(match["group"], 16)
    if match["element"]:
        return PathStep((group << 16) | int(match["element"], 16), None, item)
    creator = match["creator"].strip()
    if not group & 1 or not creator:
        raise PathError(f"{match[0]!r}: private attributes have an odd group and a creator")
    return PathStep((group << 16) | int(match["low"], 16), creator, item)


def _check_steps(text: str, steps: list[PathStep]) -> None:
    if len(steps) > MAX_STEPS:
        raise PathError(f"a path has at most {MAX_STEPS} steps")
    for place, step in enumerate(steps):
        if step.tag >> 16 in {0x0000, 0x0002, 0xFFFE}:
            raise PathError(f"{text!r}: group {step.tag >> 16:04X} is no part of a data set")
        is_last = place == len(steps) - 1
        if is_last and step.item is None:
            continue
        known = vr_for(step.tag, step.creator)
        if known not in {"SQ", "UN"}:
            raise PathError(f"{text!r}: {format_tag(step.tag)} is no sequence but {known}")
        if step.item is None:
            raise PathError(f"{text!r} does not say which item", hint="[*] for any, [0] the first")
