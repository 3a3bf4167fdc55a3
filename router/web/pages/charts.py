"""Charts as SVG, drawn here: no script, no style attribute, colours from the stylesheet.

Each has a text for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

_WIDTH: Final = 720
_HEIGHT: Final = 150
_DAY_SECONDS: Final = 86_400.0


def rate_chart(series: Sequence[tuple[str, str, Sequence[float]]], label: str) -> Markup:
    """Lines over the last hour: (name of its class, name for people, values from old to new)."""
    highest = max((max(values, default=0.0) for _, _, values in series), default=0.0)
    top = _nice(highest)
    lines: list[str] = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share * top, top)
        lines.append(f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>')
    for quarter in (1, 2, 3):
        x = quarter * _WIDTH // 4
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="20" y2="{_HEIGHT - 6}"/>')
    for kind, name, values in series:
        step = _WIDTH / max(1, len(values) - 1)
        points = [f"{i * step:.1f},{_y(value, top)}" for i, value in enumerate(values)]
        base = _y(0.0, top)
        area = f"0,{base} {' '.join(points)} {_WIDTH},{base}"
        lines.append(f'<polygon class="area {kind}" points="{area}"/>')
        lines.append(
            f'<polyline class="line {kind}" points="{" ".join(points)}">'
            f"<title>{escape(name)}</title></polyline>"
        )
    for share in (0.5, 1.0):
        above = float(_y(share * top, top)) - 5
        lines.append(f'<text class="axis" x="4" y="{above:.1f}">{_number(share * top)} /s</text>')
    return _svg("chart", _WIDTH, _HEIGHT, label, lines)


def _y(value: float, top: float) -> str:
    return f"{_HEIGHT - 6 - (_HEIGHT - 26) * value / top:.1f}"


def _nice(highest: float) -> float:
    """The next of 1, 2, 5 times a power of ten, so that the axis has a round end."""
    top = 0.1
    while top < highest:
        for factor in (2.0, 2.5, 2.0):
            top *= factor
            if top >= highest:
                break
    return top


def _number(value: float) -> str:
    return f"{value:.6g}"


def heartbeat_strip(
    changes: Iterable[tuple[float, str]], state: str, now: float, label: str
) -> Markup:
    """The last 24 hours of a station: (since when, status) latest first, and how it is now."""
    begin = now - _DAY_SECONDS
    parts: list[str] = []
    end = now
    for since, status in changes:
        start = max(since, begin)
        if start < end:
            parts.append(_stretch(start, end, begin, status))
        end = min(end, since)
        if since <= begin:
            break
    if end > begin:
        parts.append(_stretch(begin, end, begin, "unknown" if parts else state))
    hours = [
        f'<line class="hour" x1="{hour * 40}" x2="{hour * 40}" y1="0" y2="24"/>'
        for hour in range(6, 24, 6)
    ]
    return _svg("strip", 960, 24, label, [*parts, *hours])


def _stretch(start: float, end: float, begin: float, status: str) -> str:
    x = (start - begin) / _DAY_SECONDS * 960
    width = max(1.0, (end - start) / _DAY_SECONDS * 960)
    kind = status if status in {"online", "offline", "inactive"} else "unknown"
    return f'<rect class="{kind}" x="{x:.1f}" y="0" width="{width:.1f}" height="24"/>'


def meter(share: float, label: str, kind: str = "", failed: float = 0.0) -> Markup:
    """A bar that is filled to a share between 0 and 1, and behind it to the share that failed."""
    width = 200 * min(1.0, max(0.0, share))
    parts = ['<rect class="track" width="200" height="8" rx="4"/>']
    if failed > 0.0:
        to = min(200.0, width + 200 * failed)
        parts.append(f'<rect class="fill bad" width="{to:.1f}" height="8" rx="4"/>')
    parts.append(f'<rect class="fill {escape(kind)}" width="{width:.1f}" height="8" rx="4"/>')
    return _svg("meter", 200, 8, label, parts)


def rule_map(rules: Sequence[dict[str, Any]], label: str) -> Markup:
    """Rules on the left, stations on the right, a line for each delivery a rule decides."""
    rules = [rule for rule in rules if rule["enabled"]][:24]
    stations = list(dict.fromkeys(one["station"] for rule in rules for one in rule["route"]))
    rows = max(len(rules), len(stations), 1)
    height = rows * 40 + 8
    parts: list[str] = []
    at = {name: _row(i, len(stations), rows) for i, name in enumerate(stations)}
    for i, rule in enumerate(rules):
        y = _row(i, len(rules), rows)
        for one in rule["route"]:
            to = at[one["station"]]
            kind = "edge morphed" if one["morph"] else "edge"
            parts.append(f'<path class="{kind}" d="M330 {y} C450 {y} 400 {to} 520 {to}"/>')
    for i, rule in enumerate(rules):
        parts.append(_box(8, _row(i, len(rules), rows), 322, rule["name"], "rule"))
    for name, y in at.items():
        parts.append(_box(520, y, 192, name, "station"))
    return _svg("map", _WIDTH, height, label, parts)


def _row(index: int, count: int, rows: int) -> float:
    return 24 + (rows - count) * 20 + index * 40


def _box(x: int, y: float, width: int, text: str, kind: str) -> str:
    most = width // 8
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    return (
        f'<g class="{kind}"><rect x="{x}" y="{y - 15}" width="{width}" height="30" rx="8"/>'
        f'<text x="{x + 12}" y="{y + 5}">{escape(shown)}<title>{escape(text)}</title></text></g>'
    )


def _svg(kind: str, width: int, height: int, label: str, parts: Iterable[str]) -> Markup:
    opening = (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}" preserveAspectRatio="none">'
    )
    if kind in {"chart", "map"}:
        opening = opening.replace("none", "xMidYMid meet")
    return Markup(f"{opening}{''.join(parts)}</svg>")  # noqa: S704 - texts are escaped above
