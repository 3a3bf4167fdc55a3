"""What the plugs bring to the configuration: operators, morph steps and kinds of station.

They are handed in by the caller, so that the configuration depends on no operator and no peer.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.model.plug import Morph, Operator, StationKind


@dataclass(frozen=True, slots=True)
class Plugs:
    """All plugs, each sorted by name."""

    operators: tuple[Operator, ...] = ()
    morphs: tuple[Morph, ...] = ()
    station_kinds: tuple[StationKind, ...] = ()

    @property
    def steps(self) -> tuple[Morph, ...]:
        """The morphs people may write."""
        return tuple(morph for morph in self.morphs if morph.is_offered)
