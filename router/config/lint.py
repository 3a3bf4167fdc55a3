"""Advice that needs no thought: a rule that does nothing, a peer twice, a wish in vain.

DR311, DR315, DR326.

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
        acts = rule.sends or rule.discard or rule.refuse or rule.final or rule.fetch_priors
        if rule.enabled and not acts:
            message = f"rule '{rule.name}' routes nowhere"
            hint = "give it route, discard or refuse"
            report.warn("DR311", message, rule.place or Place("", 1, 1), hint=hint)
    _same_peer(stations, report)
    _original_ids(rules, stations, report)


def _original_ids(rules: Iterable[Rule], stations: Mapping[str, Station], report: Report) -> None:
    for rule in rules:
        for send in rule.sends:
            station = stations.get(send.station)
            if station is None or not station.original_patient_id:
                continue
            if any(name == "deidentify" for name, _ in send.recipe.unpacked()):
                message = (
                    f"'{send.station}' has original_patient_id, and rule '{rule.name}' de-identifies "
                    "what it gets"
                )
                hint = "de-identification wins: it does not get the original Patient ID"
                report.warn("DR326", message, rule.place or Place("", 1, 1), hint=hint)


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
