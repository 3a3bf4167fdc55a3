"""The balance of the ledger, what there is to do, and what failed: what whoever watches reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """What there is to do: since when each station is owed something, tasks by (station, status).

    `owed_bytes` is what records take that may not be evicted.
    """

    oldest_waiting_at: Mapping[str, float]
    tasks: Mapping[tuple[str, str], int]
    owed_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that failed: `kind` says what follows, `message` is the station's own answer."""

    at: float
    station: str
    task_id: int
    kind: str
    message: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """The balance. Counts by name; `stations` has the delivery counts of each station.

    `instances`: received, routed, unmatched, discarded, quarantined, duplicate. `deliveries`:
    created, queued, sending, sent, held, delivered, dead, quarantined, cancelled, moved; held ones wait at a
    station that is offline or inactive and are not counted as queued. `differences` says in words
    what does not add up; the account is balanced when it is empty.
    """

    instances: Mapping[str, int]
    deliveries: Mapping[str, int]
    stations: Mapping[str, Mapping[str, int]]
    differences: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Every accepted instance is in exactly one place, for each station it is owed to."""
        return not self.differences
