"""The plan as a picture: senders → rules → stations, as Mermaid, Graphviz or JSON.

A rule is drawn from the stations its `from` names, or from "anyone"; what it does besides routing
(discard, refuse) is a node of its own. Identifiers are numbers, so that names need no escaping.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.model.plan import Plan
from router.model.rule import Rule, Send

ANYONE: Final = "anyone"


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two nodes, each (kind, name); `label` is what is done on the way."""

    start: tuple[str, str]
    end: tuple[str, str]
    label: str = ""


def edges_of(plan: Plan) -> tuple[Edge, ...]:
    """All arrows, in the order of the rules; rules that are off are left out."""
    found: list[Edge] = []
    for rule in plan.rules:
        if not rule.enabled:
            continue
        here = ("rule", rule.name)
        match = json.loads(rule.condition.spec)
        senders = _senders(match)
        found += [Edge(("station", name), here) for name in senders]
        found += [] if senders else [Edge(("anyone", ANYONE), here)]
        found += [
            Edge(here, ("station", one.station), ", ".join(_doing(one, place)))
            for send in rule.sends
            for place, one in enumerate(send.alternatives)
        ]
        found += [Edge(here, ("end", word)) for word in _ends(rule)]
    return tuple(found)


def mermaid(plan: Plan, edges: Iterable[Edge]) -> str:
    """A Mermaid flowchart."""
    edges = tuple(edges)
    numbers = _numbers(plan, edges)
    lines = ["flowchart LR"]
    for node, number in numbers.items():
        left, right = {"rule": ("[", "]"), "station": ("([", "])")}.get(node[0], ("((", "))"))
        lines.append(f'  n{number}{left}"{_label(plan, node).replace(chr(34), "#quot;")}"{right}')
    for edge in edges:
        label = f'|"{edge.label.replace(chr(34), "#quot;")}"|' if edge.label else ""
        lines.append(f"  n{numbers[edge.start]} -->{label} n{numbers[edge.end]}")
    return "\n".join(lines)


def dot(plan: Plan, edges: Iterable[Edge]) -> str:
    """A Graphviz digraph."""
    edges = tuple(edges)
    numbers = _numbers(plan, edges)
    lines = ["digraph rules {", "  rankdir=LR;"]
    for node, number in numbers.items():
        shape = {"rule": "box", "station": "ellipse"}.get(node[0], "plaintext")
        lines.append(f"  n{number} [shape={shape}, label={_quoted(_label(plan, node))}];")
    for edge in edges:
        label = f" [label={_quoted(edge.label)}]" if edge.label else ""
        lines.append(f"  n{numbers[edge.start]} -> n{numbers[edge.end]}{label};")
    return "\n".join([*lines, "}"])


def json_graph(plan: Plan, edges: Iterable[Edge]) -> str:
    """Nodes and edges as one JSON document."""
    edges = tuple(edges)
    nodes = [
        {"id": f"{kind}:{name}", "kind": kind, "name": name} for kind, name in _numbers(plan, edges)
    ]
    arrows = [
        {"from": ":".join(edge.start), "to": ":".join(edge.end), "label": edge.label}
        for edge in edges
    ]
    return json.dumps({"nodes": nodes, "edges": arrows}, indent=2, ensure_ascii=False)


def _numbers(plan: Plan, edges: Iterable[Edge]) -> dict[tuple[str, str], int]:
    """Every node, stations nobody uses too, numbered in order of appearance."""
    nodes = [node for edge in edges for node in (edge.start, edge.end)]
    nodes += [("station", name) for name in plan.stations]
    return {node: number for number, node in enumerate(dict.fromkeys(nodes))}


def _label(plan: Plan, node: tuple[str, str]) -> str:
    kind, name = node
    station = plan.stations.get(name) if kind == "station" else None
    if station is None:
        return name
    where = station.ae_title or station.url or str(station.path or "")
    return f"{name} ({where})" if where else name


def _senders(match: Mapping[str, Any]) -> list[str]:
    """The stations a match names at its top or in its combinations."""
    found: list[str] = []
    for key, value in match.items():
        if key == "from":
            inner = value.get("any", value.get("equals")) if isinstance(value, dict) else value
            found += inner if isinstance(inner, list) else [str(inner)] if inner else []
        elif key in ("all", "any"):
            found += [name for item in value for name in _senders(item)]
    return list(dict.fromkeys(map(str, found)))


def _doing(send: Send, place: int) -> list[str]:
    words = ["in its place"] if place else []
    words += dict.fromkeys(name for name, _ in send.recipe.unpacked())
    return words if send.priority.word == "medium" else [*words, f"{send.priority.word} priority"]


def _ends(rule: Rule) -> list[str]:
    return ["discard"] * rule.discard + ["refuse"] * (rule.refuse is not None)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
