"""The bars: what the router must reach beside its peers, in the run that measured both.

Each bar has a figure or none (not measured); in the full form a bar without a figure is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.bench.contestants import CSTORE, RECEIVE, STOW
from tests.bench.figures import Figures
from tests.bench.rounds import LATENCY


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked, the bound, the figure measured (None: not), and which side of it is good."""

    text: str
    bound: float
    figure: float | None
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether there is a figure, on the good side."""
        if self.figure is None:
            return False
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound

    def sentence(self) -> str:
        """The bar as a line of a list: `≥ 10 × …: 12.3, reached`."""
        sign = "≤" if self.at_most else "≥"
        found = "not measured" if self.figure is None else f"{self.figure:.3g}"
        return f"{self.text} {sign} {self.bound:g}: {found}, {'yes' if self.reached else 'NO'}"


def bars(figures: Figures, extras: Mapping[str, float]) -> tuple[Bar, ...]:
    """Every bar in the order it is asked for. `extras`: figures that are not of a cell, by name."""
    return (
        *_routing(figures),
        *_receiving(figures),
        *_cost(figures),
        *_crowds(figures),
        *_extra(extras),
    )


def _routing(figures: Figures) -> Iterator[Bar]:
    for set_name, peers in (
        ("S", (("Orthanc", 10.0), ("pynetdicom", 8.0), ("chain", 3.0))),
        ("M", (("Orthanc", 10.0), ("pynetdicom", 8.0), ("chain", 3.0))),
        ("L", (("Orthanc", 10.0),)),
    ):
        for peer, bound in peers:
            ratio = figures.ratio(CSTORE, set_name, 1, peer)
            yield Bar(f"{set_name}, receive → rule → 3 tags → C-STORE, × {peer}", bound, ratio)
    for set_name in ("S", "M"):
        ratio = figures.ratio(STOW, set_name, 1, "Orthanc")
        yield Bar(f"{set_name}, receive → rule → 3 tags → STOW, × Orthanc", 20.0, ratio)


def _receiving(figures: Figures) -> Iterator[Bar]:
    for set_name in ("S", "M", "L"):
        for associations in (1, 4):
            for peer, bound in (("storescp", 1.2), ("Orthanc", 3.5)):
                ratio = figures.ratio(RECEIVE, set_name, associations, peer)
                text = f"{set_name}, receive only, associations: {associations}, × {peer}"
                yield Bar(text, bound, ratio)


def _cost(figures: Figures) -> Iterator[Bar]:
    for set_name, cpu_bound, latency_bound in (("S", 1.2, 5.0), ("M", 2.0, 10.0)):
        ours = figures.get(CSTORE, set_name, 1)
        peer = figures.get(CSTORE, set_name, 1, "Orthanc")
        idle = figures.get(CSTORE, set_name, LATENCY)
        cpu = ours.cpu_ms if ours else None
        share = ours.cpu_ms / peer.cpu_ms if ours and peer else None
        latency = idle.latency_ms[0] if idle and idle.latency_ms else None
        yield Bar(f"{set_name}, end to end, CPU ms an instance", cpu_bound, cpu, at_most=True)
        yield Bar(f"{set_name}, end to end, CPU ÷ Orthanc's", 0.2, share, at_most=True)
        yield Bar(
            f"{set_name}, latency median ms, idle router", latency_bound, latency, at_most=True
        )
    huge = [figures.get(work, "G", 1) for work in (RECEIVE, CSTORE)]
    over = [one.over_idle_megabytes for one in huge if one]
    text = "1 GB instances, resident MB over idle"
    yield Bar(text, 150.0, max(over) if over else None, at_most=True)


def _crowds(figures: Figures) -> Iterator[Bar]:
    for work in (RECEIVE, CSTORE):
        for set_name in ("S", "M"):
            many, few = figures.get(work, set_name, 16), figures.get(work, set_name, 4)
            ratio = many.per_second / few.per_second if many and few else None
            yield Bar(f"{set_name}, {work}, 16 senders ÷ 4 senders", 0.9, ratio)


def _extra(extras: Mapping[str, float]) -> Iterator[Bar]:
    for text, bound, at_most in EXTRA_BARS:
        yield Bar(text, bound, extras.get(text), at_most=at_most)


IDLE_CORE = "200 associations, 190 idle: share of a core"
IDLE_RATE = "200 associations, 190 idle: active throughput ÷ without them"
TLS_RATE = "M, TLS 1.3 in and out ÷ plain"
MORPH_SIZE = "morph cost, 500 MB ÷ 0.5 MB"
RULES_COST = "1,000 rules of three predicates, ms an instance"
BACKLOG_MEMORY = "backlog 100,000, MB over idle"
BACKLOG_START = "backlog 100,000, seconds to restart"
BACKLOG_DRAIN = "backlog 100,000, instances/s drained"
EXTRA_BARS = (
    (IDLE_CORE, 0.05, True),
    (IDLE_RATE, 0.9, False),
    (TLS_RATE, 0.5, False),
    (MORPH_SIZE, 1.2, True),
    (RULES_COST, 1.0, True),
    (BACKLOG_MEMORY, 50.0, True),
    (BACKLOG_START, 30.0, True),
    (BACKLOG_DRAIN, 300.0, False),
)
