"""Recipe: an ordered list of morph steps as canonical JSON, with a digest.

What is done to the bytes is pinned to an instance, by this digest, when the instance is accepted;
so a recipe holds everything it needs (tables inlined), and equal recipes have equal digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

NO_CHANGE = "none"
# How the last step is named that says what the object leaves in; no morph has this name.
TRANSFER_SYNTAX: Final = "transfer_syntax"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`steps` is canonical JSON: a list of [morph name, parameters]. `digest` is "none" if empty."""

    steps: str
    digest: str

    @classmethod
    def of(cls, steps: Sequence[tuple[str, Any]]) -> Recipe:
        """The recipe of these (morph name, JSON parameters) pairs."""
        text = json.dumps([list(step) for step in steps], sort_keys=True, separators=(",", ":"))
        if not steps:
            return cls(text, NO_CHANGE)
        return cls(text, hashlib.sha256(text.encode()).hexdigest())

    def unpacked(self) -> tuple[tuple[str, Any], ...]:
        """The morphs as (name, parameters)."""
        return tuple(step for step in self._all() if step[0] != TRANSFER_SYNTAX)

    @property
    def transfer_syntax_uid(self) -> str:
        """What was declared for the object to leave in; '' for as it is agreed with who gets it."""
        return transfer_syntax_of(self.steps)

    def leaving_in(self, transfer_syntax_uid: str) -> Recipe:
        """The same morphs, and the object leaves in this transfer syntax; '' changes nothing."""
        if not transfer_syntax_uid:
            return self
        return Recipe.of([*self.unpacked(), (TRANSFER_SYNTAX, transfer_syntax_uid)])

    def _all(self) -> tuple[tuple[str, Any], ...]:
        return tuple((name, parameters) for name, parameters in json.loads(self.steps))

    def then(self, later: Recipe) -> Recipe:
        """These steps, then the later ones."""
        if self.is_empty or later.is_empty:
            return later if self.is_empty else self
        return _joined(self, later)

    @property
    def is_empty(self) -> bool:
        """Nothing is changed: the data set leaves byte for byte as it came."""
        return self.digest == NO_CHANGE


@lru_cache(maxsize=4096)
def _joined(first: Recipe, later: Recipe) -> Recipe:
    steps = (*first.unpacked(), *later.unpacked())
    if any(name == "deidentify" for name, _ in steps):
        # De-identification wins wherever it stands: what was removed is not given back.
        steps = tuple(step for step in steps if step[0] != "restore")
    return Recipe.of(steps).leaving_in(later.transfer_syntax_uid or first.transfer_syntax_uid)


def transfer_syntax_of(steps: str) -> str:
    """The transfer syntax that the steps of a recipe, as canonical JSON, declare; '' for none."""
    if f'["{TRANSFER_SYNTAX}",' not in steps:
        return ""
    return next((str(uid) for name, uid in json.loads(steps) if name == TRANSFER_SYNTAX), "")


NOTHING = Recipe.of(())
