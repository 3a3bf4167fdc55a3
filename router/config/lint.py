"""Advice that needs no thought: a rule that does nothing, a peer twice, a wish in vain.

DR311, DR315, DR326, DR327, DR328.

What takes conditions apart is `router.analysis`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.config.report import Report
from router.model.problem import Place
from router.model.rule import Rule, Send
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
    _rejections(rules, stations, report)


def _rejections(rules: Iterable[Rule], stations: Mapping[str, Station], report: Report) -> None:
    """Rejection notes that cannot arrive, or say less than they should."""
    for station in stations.values():
        place = station.place or Place("", 1, 1)
        if station.iocm and not station.send:
            message = f"station '{station.name}' wants rejection notes and may not be sent to"
            report.warn("DR327", message, place, hint="add send: true, or leave out iocm")
        if station.delete_rejected and not station.iocm:
            message = f"station '{station.name}' has delete_rejected and gets no rejection notes"
            report.warn(
                "DR327", message, place, hint="add iocm: true, or leave out delete_rejected"
            )
    for rule in rules:
        for send in _alternatives(rule):
            target = stations.get(send.station)
            if target is None or not target.iocm:
                continue
            if any(_empties_content(*step) for step in send.recipe.unpacked()):
                message = (
                    f"'{send.station}' wants rejection notes, and rule '{rule.name}' takes the content "
                    "tree out of what it gets"
                )
                hint = "its notes keep the evidence alone; options: [clean_structured_content] keeps it"
                report.warn("DR328", message, rule.place or Place("", 1, 1), hint=hint)


def _alternatives(rule: Rule) -> list[Send]:
    return [one for send in rule.sends for one in send.alternatives]


def _empties_content(name: str, parameters: object) -> bool:
    if name != "deidentify" or not isinstance(parameters, dict):
        return False
    return "clean_structured_content" not in parameters.get("options", ())


def _original_ids(rules: Iterable[Rule], stations: Mapping[str, Station], report: Report) -> None:
    for rule in rules:
        for send in _alternatives(rule):
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
