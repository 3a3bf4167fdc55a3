"""What the plugs bring to the configuration: operators, morph steps and kinds of station.

They are handed in by the caller, so that the configuration depends on no operator and no peer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from router.model.plug import Morph, Operator


class Kind(Protocol):
    """A kind of station, as far as its description matters here."""

    @property
    def name(self) -> str:
        """The word after `type:`."""

    @property
    def summary(self) -> str:
        """One sentence."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """A JSON Schema fragment; its `properties` join those every station has."""


@dataclass(frozen=True, slots=True)
class Plugs:
    """All plugs, each sorted by name."""

    operators: tuple[Operator, ...] = ()
    morphs: tuple[Morph, ...] = ()
    station_kinds: tuple[Kind, ...] = ()
