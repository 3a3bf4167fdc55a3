"""Organization: whose a station is, and under whom it stands.

An organization has at most one parent, and no circle. What is said of one holds for all below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.model.problem import Place


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization. `parent` is the name of the one above it, '' for none."""

    name: str
    description: str = ""
    parent: str = ""
    place: Place | None = field(default=None, compare=False)


def lineage(organizations: Mapping[str, Organization], name: str) -> tuple[str, ...]:
    """The organization and those above it, the nearest first; it ends where a circle would begin."""
    found: dict[str, None] = {}
    while name in organizations and name not in found:
        found[name] = None
        name = organizations[name].parent
    return tuple(found)


def below(organizations: Mapping[str, Organization], names: Iterable[str]) -> frozenset[str]:
    """Those of these names that there are, and every organization below one of them."""
    wanted = frozenset(names)
    return frozenset(
        name for name in organizations if not wanted.isdisjoint(lineage(organizations, name))
    )
