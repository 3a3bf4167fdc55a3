"""From samples to figures: medians over the rounds with their spread, and ratios to the peers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from statistics import median

from tests.bench.measure import Sample, percentiles
from tests.bench.rounds import PRODUCT, Cell, Samples


@dataclass(frozen=True, slots=True)
class Figure:
    """One contestant in one cell. `low` and `high`: the slowest and fastest round, instances/s.
    Latencies in ms: median, 95th and 99th percentile over the instances of all rounds."""

    cell: Cell
    contestant: str
    rounds: int
    count: int
    per_second: float
    low: float
    high: float
    megabytes_per_second: float
    cpu_ms: float
    peak_megabytes: float
    over_idle_megabytes: float
    load_average: float
    latency_ms: tuple[float, float, float] | None

    def as_json(self) -> dict[str, object]:
        """Plain data, numbers rounded to what they are worth."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, tuple):
        return [_rounded(one) for one in value]
    return value


def _figure(cell: Cell, contestant: str, samples: tuple[Sample, ...]) -> Figure:
    def middle(name: str) -> float:
        return median(getattr(sample, name) for sample in samples)

    rates = [sample.per_second for sample in samples]
    latencies = tuple(value for sample in samples for value in sample.latencies_ms)
    return Figure(
        cell=cell,
        contestant=contestant,
        rounds=len(samples),
        count=samples[0].count,
        per_second=median(rates),
        low=min(rates),
        high=max(rates),
        megabytes_per_second=middle("megabytes_per_second"),
        cpu_ms=middle("cpu_ms"),
        peak_megabytes=max(sample.peak_megabytes for sample in samples),
        over_idle_megabytes=max(sample.over_idle_megabytes for sample in samples),
        load_average=middle("load_average"),
        latency_ms=percentiles(latencies) if latencies else None,
    )


class Figures:
    """All figures of a run, looked up by work, set, associations and contestant."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._by_key = {
            (one.cell.work, one.cell.set_name, one.cell.associations, one.contestant): one
            for one in figures
        }

    @classmethod
    def of(cls, samples: Samples) -> Figures:
        """The figures of the samples of a run."""
        return cls(_figure(cell, name, found) for (cell, name), found in samples.items())

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._by_key.values())

    def get(
        self, work: str, set_name: str, associations: int, contestant: str = PRODUCT
    ) -> Figure | None:
        """The figure, or None when it was not measured."""
        return self._by_key.get((work, set_name, associations, contestant))

    def ratio(self, work: str, set_name: str, associations: int, peer: str) -> float | None:
        """How many times as fast as the peer the product is; None when either is missing."""
        ours = self.get(work, set_name, associations)
        theirs = self.get(work, set_name, associations, peer)
        return ours.per_second / theirs.per_second if ours and theirs else None
