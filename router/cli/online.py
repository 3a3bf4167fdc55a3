"""What `check --online` adds: a warning for each station that does not answer now (DR405)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from router.clock import Clock
from router.config.load import Loaded
from router.flow.roll_call import roll_call
from router.flow.told import probe_json
from router.model.problem import Place, Problem
from router.peers.peer import Probe
from router.serve.peers import peer_maker
from router.telemetry.log import open_log


@dataclass(frozen=True, slots=True)
class Online:
    """What was found, and the configuration with a problem more for each that did not answer."""

    loaded: Loaded
    probes: dict[str, Probe]

    def as_json(self) -> list[dict[str, Any]]:
        """Each station that was asked."""
        return [probe_json(name, probe) for name, probe in sorted(self.probes.items())]


def ask_stations(loaded: Loaded) -> Online:
    """Ask every station of a sound configuration; one with errors is left as it is."""
    plan, clock = loaded.plan, Clock()
    if plan is None:
        return Online(loaded, {})
    log = open_log(sys.stderr, "text", {})
    probes = roll_call(plan.stations.values(), peer_maker(plan, clock), clock, log)
    silent = [plan.stations[name] for name, probe in probes.items() if not probe.ok]
    more = [
        Problem(
            "warning",
            "DR405",
            f"station '{one.name}' does not answer: {probes[one.name].message}",
            one.place or Place("", 1, 1),
            f"stations.{one.name}",
            f"try it alone: dicom-router echo {one.name}",
        )
        for one in silent
    ]
    return Online(replace(loaded, problems=(*loaded.problems, *more)), probes)
