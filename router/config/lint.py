"""Advice: what loads and is probably not what its author wanted (DR3xx).

Rules that can never act, rules that do nothing, stations nobody uses, objects sent back to where
they came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from router.config.report import Report
from router.model.problem import Place
from router.model.rule import Rule
from router.model.station import Station


def advise(rules: Iterable[Rule], stations: Mapping[str, Station], report: Report) -> None:
    """Report all advice about a configuration that is otherwise sound."""
    rules = tuple(rule for rule in rules if rule.enabled)
    _shadowed(rules, report)
    senders: set[str] = set()
    open_to_all = False
    for rule in rules:
        place = rule.place or Place("", 1, 1)
        if not (rule.sends or rule.discard or rule.refuse or rule.final):
            message = f"rule '{rule.name}' routes nowhere"
            report.warn("DR311", message, place, hint="give it route, discard or refuse")
        named = _senders(json.loads(rule.condition.spec))
        open_to_all = open_to_all or named is None
        senders.update(named or ())
        for send in rule.sends:
            if named == {send.station}:
                message = f"rule '{rule.name}' sends to '{send.station}' what came from it"
                report.warn("DR314", message, place)
    targets = {send.station for rule in rules for send in rule.sends}
    for station in stations.values():
        heard = station.kind == "dicom" and (open_to_all or station.name in senders)
        if station.name not in targets and not heard and not station.query_retrieve:
            message = f"no rule sends to station '{station.name}' or receives from it"
            report.warn("DR312", message, station.place or Place("", 1, 1))
    _same_peer(stations, report)


def _shadowed(rules: tuple[Rule, ...], report: Report) -> None:
    blocker: Rule | None = None
    for rule in rules:
        if blocker is not None:
            message = f"rule '{rule.name}' can never match: '{blocker.name}' takes everything and is final"
            place = rule.place or Place("", 1, 1)
            report.warn("DR310", message, place, hint="move it up, or give the other a match")
        elif rule.final and rule.condition.spec == "{}":
            blocker = rule


def _senders(match: Mapping[str, Any]) -> set[str] | None:
    """The stations a condition is limited to, or None when it is open to others as well."""
    written = match.get("from")
    if isinstance(written, str):
        return {written}
    if isinstance(written, list) and all(isinstance(name, str) for name in written):
        return set(written)
    return None


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
