"""A cost measured at growing numbers, and how it grows.

The exponent is the slope between the last two decades on paper with logarithmic axes: 0 for a cost
that stays, 1 for one that grows as its number does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """`points` are (number, cost), numbers rising; `reading` says why the curve has its shape."""

    name: str
    number: str
    cost: str
    points: tuple[tuple[float, float], ...]
    reading: str

    @property
    def exponent(self) -> float:
        """The slope from a hundredth of the largest number (or the least there is) to the largest."""
        last = self.points[-1]
        first = next(point for point in self.points if point[0] >= last[0] / 100)
        if first == last:
            return 0.0
        return math.log(last[1] / first[1]) / math.log(last[0] / first[0])


def short(value: float) -> str:
    """`1,000,000` as 1M, `0.0123` as 0.012."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
