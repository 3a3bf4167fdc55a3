"""Rule: match, morph, route. And what routing an instance decided.

`Condition.test` takes the facts of an instance (`router.match.facts.Facts`) and is left out of
equality: two rules are equal when they were written equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from router.model.delivery import Disposition, Priority
from router.model.path import Path
from router.model.problem import Place
from router.model.recipe import NOTHING, Recipe
from router.model.rejection import Rejection
from router.model.station import USUAL_DUPLICATES, Duplicates


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled match. `spec` is the canonical JSON of what was written; `needs` what it reads.

    `explain` gives one row per predicate, in order: (what was asked, the value seen, held or not).
    """

    spec: str
    needs: frozenset[Path]
    test: Callable[[Any], bool] = field(compare=False, repr=False)
    explain: Callable[[Any], tuple[tuple[str, str, bool], ...]] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """What is waited for before sending: so long without a further object of the study or series."""

    of: Literal["series", "study"]
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Option:
    """A station that may take a delivery in place of another, and what is done to the object for it."""

    station: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Send:
    """One entry of `route`, with rule morphs and route morphs already in its recipe.

    `others` are the stations of a `first_of` behind the first, in order.
    """

    station: str
    recipe: Recipe
    priority: Priority = Priority.MEDIUM
    silence: Silence | None = None
    transfer_syntax_uid: str | None = None
    others: tuple[Option, ...] = ()

    @property
    def alternatives(self) -> tuple[Send, ...]:
        """The entry for each station that may get it, in order."""
        return _alternatives(self)


_Routed = TypeVar("_Routed", Send, "Owed")


@dataclass(frozen=True, slots=True)
class FetchPriors:
    """Which earlier studies of its patient are fetched when a study comes in.

    `stations` are archives, asked in order. Empty `modalities` and `words` (of the description) are
    any; `same` among the modalities is that of the instance. `hours` are minutes of the local day.
    """

    stations: tuple[str, ...]
    modalities: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    at_most: int = 3
    hours: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the peer hears when a rule refuses an instance. `comment` is at most 64 characters."""

    status: int
    comment: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. At most one of sends, discard and refuse acts when `condition` holds."""

    name: str
    condition: Condition
    sends: tuple[Send, ...] = ()
    discard: bool = False
    refuse: Refusal | None = None
    fetch_priors: FetchPriors | None = None
    final: bool = False
    enabled: bool = True
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery that routing decided, with the rule that asked for it.

    `others` may take it, in this order, where `station` cannot: one of them gets it.
    """

    station: str
    recipe: Recipe
    priority: Priority
    rule: str
    silence: Silence | None = None
    others: tuple[Option, ...] = ()

    @property
    def alternatives(self) -> tuple[Owed, ...]:
        """The delivery for each station that may get it, in order."""
        return _alternatives(self)


def _alternatives(one: _Routed) -> tuple[_Routed, ...]:
    if not one.others:
        return (one,)
    options = (Option(one.station, one.recipe), *one.others)
    return tuple(
        replace(one, station=each.station, recipe=each.recipe, others=()) for each in options
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What routing an instance came to. `rules` are the names of all that matched, in order.

    `receive` is what its station's hook did before the rules saw it; it is part of each recipe owed,
    and stays with the instance for whatever is sent of it later. `duplicates` is what its station asks
    for where the object is known already, `rejection` what it says of others if it is a rejection note.
    """

    disposition: Disposition
    owed: tuple[Owed, ...]
    rules: tuple[str, ...]
    refusal: Refusal | None = None
    receive: Recipe = NOTHING
    duplicates: Duplicates = USUAL_DUPLICATES
    rejection: Rejection | None = None

    def owed_to(self, station: str) -> Owed | None:
        """The first delivery that the station gets, or may get in the place of another."""
        each = (alternative for owed in self.owed for alternative in owed.alternatives)
        return next((one for one in each if one.station == station), None)
