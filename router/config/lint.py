"""Advice that needs no thought: rules that do nothing, one peer described twice (DR311, DR315).

What takes conditions apart is `router.analysis`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.config.report import Report
from router.model.problem import Place
from router.model.rule import Rule
from router.model.station import Station


def advise(rules: Iterable[Rule], stations: Mapping[str, Station], report: Report) -> None:
    """Report it, about a configuration that is otherwise sound."""
    for rule in rules:
        if rule.enabled and not (rule.sends or rule.discard or rule.refuse or rule.final):
            message = f"rule '{rule.name}' routes nowhere"
            hint = "give it route, discard or refuse"
            report.warn("DR311", message, rule.place or Place("", 1, 1), hint=hint)
    _same_peer(stations, report)


def _same_peer(stations: Mapping[str, Station], report: Report) -> None:
    first: dict[tuple[str, str], Station] = {}
    for station in stations.values():
        if station.kind != "dicom" or not station.ae_title:
            continue
        known = first.setdefault((station.ae_title, station.host), station)
        if known is not station and station.place is not None:
            message = f"stations '{known.name}' and '{station.name}' have one AE title and one host"
            hint = "what arrives from there counts as from the first"
            report.warn("DR315", message, station.place, hint=hint, other=known.place)
