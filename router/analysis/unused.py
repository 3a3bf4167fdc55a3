"""DR312: stations no rule sends to, and from which no rule takes anything."""

from __future__ import annotations

from router.analysis.peers import named_senders
from router.analysis.study import Study
from router.model.problem import Place


def advise(study: Study) -> None:
    """Report them."""
    senders: set[str] = set()
    is_open = False
    for rule in study.rules:
        named, is_open_here = named_senders(study.solver.form(rule))
        senders |= named
        is_open = is_open or is_open_here
    sends = [send for rule in study.rules for send in rule.sends]
    targets = {one.station for send in sends for one in send.alternatives}
    for station in study.plan.stations.values():
        heard = station.kind == "dicom" and (is_open or station.name in senders)
        if station.name not in targets and not heard and not station.query_retrieve:
            message = f"no rule sends to station '{station.name}' or receives from it"
            study.advise("DR312", message, station.place or Place("", 1, 1))
