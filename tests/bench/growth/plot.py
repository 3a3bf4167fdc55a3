"""A series as a picture (SVG), both axes logarithmic; it reads on light and on dark paper."""

from __future__ import annotations

import math
from html import escape

from tests.bench.growth.series import Series, short

WIDTH, HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_INK, _GRID, _LINE = "#777", "#7774", "#2a78c2"


def svg(series: Series) -> str:
    """The picture: points joined by a line, a grid line a decade."""
    across = _Axis([x for x, _ in series.points], _LEFT, WIDTH - _RIGHT)
    up = _Axis([y for _, y in series.points], HEIGHT - _BOTTOM, _TOP)
    placed = [(across.place(x), up.place(y)) for x, y in series.points]
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'font-family="sans-serif" font-size="12" fill="{_INK}">'
        ),
        f"<title>{escape(series.cost)} by {escape(series.number)}</title>",
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(series.cost)}</text>',
        (
            f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 12}" text-anchor="end">'
            f"{escape(series.number)}</text>"
        ),
    ]
    for tick in across.decades():
        x = across.place(tick)
        parts.append(_rule(x, _TOP, x, HEIGHT - _BOTTOM))
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 32}" text-anchor="middle">{short(tick)}</text>'
        )
    for tick in up.decades():
        y = up.place(tick)
        parts.append(_rule(_LEFT, y, WIDTH - _RIGHT, y))
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    for (x, y), (number, cost) in zip(placed, series.points, strict=True):
        words = f"{short(number)}: {short(cost)}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_LINE}"><title>{words}</title></circle>'
        )
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Places numbers between two ends, over whole decades."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(math.ceil(math.log10(max(values))), self._low + 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'
