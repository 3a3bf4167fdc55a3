"""Ways on which an instance comes back: to its sender, round several stations, to this router itself.

DR314: a rule sends a station what came from it (under this name or another), or what one station
sends goes round others and back to it. DR322: a station is one of our own listeners, and what is
sent there is sent there again. DR323: each round changes the instance once more. The way is walked
with real data sets and recipes; only what came round is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from router.analysis.example import Specimen
from router.analysis.formula import Atom, Conjunction
from router.analysis.peers import named_senders, own_listener, same_peers
from router.analysis.study import Study
from router.config.references import is_loopback
from router.model.instance import Source
from router.model.listener import Listener
from router.model.rule import Decision, Rule, Send
from router.model.station import Station

_MAX_EDGES = 2000
_MAX_ROUND = 6


@dataclass(frozen=True, slots=True)
class _Edge:
    """What comes from `start` goes to `end` by a rule that names `start`."""

    start: str
    end: str
    rule: Rule
    send: Send


def advise(study: Study) -> None:
    """Report them."""
    edges = _edges(study)
    peers = same_peers(study.plan.stations)
    told: set[str] = set()
    for edge in edges:
        if peers[edge.start] == peers[edge.end] and edge.rule.name not in told:
            told.add(edge.rule.name)
            _mirror(study, edge)
    _rounds(study, [edge for edge in edges if peers[edge.start] != peers[edge.end]], peers)
    for station in study.plan.stations.values():
        listener = own_listener(study.plan, station)
        if listener is not None:
            _ourselves(study, station, listener)


def _edges(study: Study) -> list[_Edge]:
    stations = study.plan.stations
    found: list[_Edge] = []
    for rule in study.rules:
        named, _ = named_senders(study.solver.form(rule))
        for start in sorted(named & set(stations)):
            found += [
                _Edge(start, one.station, rule, one)
                for send in rule.sends
                for one in send.alternatives
            ]
        if len(found) > _MAX_EDGES:
            study.left_out += 1
            break
    return found


def _from(study: Study, edge: _Edge) -> tuple[Specimen, Decision] | None:
    """An instance that takes the edge."""
    atom = Atom("from", True, "equals", f'"{edge.start}"')
    only = [Conjunction({"from": (frozenset({atom}), frozenset())})]
    form = study.solver.together(study.solver.form(edge.rule), only)
    more = {"AccessionNumber": "A1"}
    found = study.confirmed(form, {edge.rule.name}, more=more)
    return found if found is not None and found[1].owed_to(edge.end) else None


def _mirror(study: Study, edge: _Edge) -> None:
    found = _from(study, edge)
    if found is None:
        return
    also = "" if edge.start == edge.end else f", which is the same peer as '{edge.start}',"
    message = f"rule '{edge.rule.name}' sends to '{edge.end}'{also} what came from it"
    study.advise("DR314", message, edge.rule.place, found=found)


def _rounds(study: Study, edges: list[_Edge], peers: dict[str, tuple[object, ...]]) -> None:
    """The shortest way back for each peer, each round once."""
    ways: dict[tuple[object, ...], list[_Edge]] = {}
    for edge in edges:
        ways.setdefault(peers[edge.start], []).append(edge)
    told: set[frozenset[object]] = set()
    for start in list(ways):
        way = _way_back(ways, start, peers)
        members = frozenset(peers[edge.start] for edge in way)
        if not way or members in told:
            continue
        told.add(members)
        found = _from(study, way[0])
        last = None if found is None else _walk(study, found[0], way)
        if found is None or last is None:
            continue
        names = " → ".join((*(edge.start for edge in way), way[-1].end))
        message = f"what '{way[0].start}' sends comes back to it: {names}"
        hint = "fine unless each of them passes on what it gets; then it never ends"
        study.advise("DR314", message, way[0].rule.place, hint=hint, found=found)
        _growth(study, way[-1].rule, found, last, _walk(study, last, way))


def _way_back(
    ways: dict[tuple[object, ...], list[_Edge]],
    start: tuple[object, ...],
    peers: dict[str, tuple[object, ...]],
) -> list[_Edge]:
    waiting: deque[tuple[tuple[object, ...], list[_Edge]]] = deque([(start, [])])
    seen = {start}
    while waiting:
        here, way = waiting.popleft()
        if len(way) >= _MAX_ROUND:
            continue
        for edge in ways.get(here, ()):
            end = peers[edge.end]
            if end == start:
                return [*way, edge]
            if end not in seen:
                seen.add(end)
                waiting.append((end, [*way, edge]))
    return []


def _walk(study: Study, specimen: Specimen, way: Iterable[_Edge]) -> Specimen | None:
    """The instance after one round; None when some rule does not take it any more."""
    for edge in way:
        station = study.plan.stations[edge.start]
        source = replace(specimen.source, station=station.name, calling_ae_title=station.ae_title)
        here = replace(specimen, source=source)
        decision = study.laboratory.decide(here)
        owed = None if decision is None else decision.owed_to(edge.end)
        after = None if owed is None else study.laboratory.changed(here, owed.recipe)
        if after is None:
            return None
        specimen = after
    return specimen


def _ourselves(study: Study, station: Station, listener: Listener) -> None:
    rule = next(
        (
            rule
            for rule in study.rules
            for send in rule.sends
            for one in send.alternatives
            if one.station == station.name
        ),
        None,
    )
    if rule is None:
        return
    found = study.confirmed(study.solver.form(rule), {rule.name}, more={"AccessionNumber": "A1"})
    owed = None if found is None else found[1].owed_to(station.name)
    if found is None or owed is None:
        return
    source = _as_we_arrive(study, station, listener)
    once = study.laboratory.changed(found[0], owed.recipe)
    message = f"station '{station.name}' is this router itself, listener '{listener.name}'"
    place = station.place
    if source is None:
        note = f"listener '{listener.name}' would refuse us"
        hint = f"rule '{rule.name}' sends there: it is never taken"
        study.advise("DR322", message, place, hint=hint, found=found, note=note)
        return
    again = None if once is None else study.laboratory.decide(replace(once, source=source))
    back = None if again is None else again.owed_to(station.name)
    if once is None or back is None:
        return
    hint = f"what rule '{rule.name}' sends there comes in again, and is sent there again, for ever"
    study.advise("DR322", message, place, hint=hint, found=found, other=rule.place)
    twice = study.laboratory.changed(replace(once, source=source), back.recipe)
    _growth(study, rule, found, once, twice)


def _as_we_arrive(study: Study, station: Station, listener: Listener) -> Source | None:
    """Who we are to ourselves when we call; None when we are not let in."""
    title = station.calling_ae_title or study.plan.router.ae_title
    known = study.plan.stations_by_ae_title.get(title, ())
    who = next(
        (each for each in known if each.active and (not each.host or is_loopback(each.host))), None
    )
    if who is None and listener.accept != "any":
        return None
    name = None if who is None else who.name
    return Source(listener.name, title, station.ae_title, "127.0.0.1", name)


def _growth(
    study: Study,
    rule: Rule,
    found: tuple[Specimen, Decision],
    once: Specimen,
    twice: Specimen | None,
) -> None:
    """Report a change that is made again on every round."""
    if twice is None or once.data_set == twice.data_set:
        return
    paths = frozenset().union(
        *(
            study.morphs[name].writes(parameters)
            for each in study.rules
            for send in each.sends
            for one in send.alternatives
            for name, parameters in one.recipe.unpacked()
        )
    )
    before = study.laboratory.values(found[0], paths)
    first = study.laboratory.values(once, paths)
    second = study.laboratory.values(twice, paths)
    grown = sorted(name for name in second if first.get(name) != second[name])
    if not grown:
        return
    name = grown[0]
    note = " → ".join((before.get(name, "absent"), first.get(name, "absent"), second[name]))
    message = f"each round changes {name} again"
    study.advise("DR323", message, rule.place, found=found, note=f"{name} {note}")
