"""Meaning of `rules`: conditions compiled, recipes composed, destinations resolved.

A recipe is the morphs of the rule, then those of the route. A route names stations that may be sent
to; everything that cannot be meant is reported at its place, and a rule is built of what is sound.
"""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any, Final

from router.config import shapes_rules, units
from router.config.compile_morphs import Morphs, Step
from router.config.context import Context
from router.config.impossible import impossible_literals, literals_of
from router.config.nodes import (
    Mapping,
    Node,
    PathPart,
    Scalar,
    Sequence,
    node_at,
    place_at,
    plain,
    raw,
    show_path,
)
from router.config.suggest import did_you_mean
from router.config.transfer_syntaxes import declared
from router.config.work import STEP
from router.match.condition import ConditionProblems, Predicates, compile_condition
from router.model.delivery import Priority
from router.model.instance import REJECTED_HERE, RETRIEVED
from router.model.problem import Place
from router.model.recipe import Recipe
from router.model.rule import Condition, FetchPriors, Option, Refusal, Rule, Send, Silence
from router.model.station import Station

IDLE_SECONDS: Final = 30.0
_REFUSED_BY_RULE: Final = 0xC001


def _names_in(document: Mapping, section: str) -> tuple[str, ...]:
    """What a section names; an entry with a mistake of its own is not unknown."""
    written = document.get(section)
    return tuple(written.entries) if isinstance(written, Mapping) else ()


class Rules:
    """Compiles the rules of one document against its stations."""

    def __init__(
        self,
        document: Mapping,
        context: Context,
        stations: AnyMapping[str, Station],
        morphs: Morphs,
    ) -> None:
        self._context = context
        self._rules = document.get("rules")
        self._names = _names_in(document, "stations")
        self._listeners = (*_names_in(document, "listeners"), RETRIEVED, REJECTED_HERE)
        self._stations = stations
        self._operators = {operator.name: operator for operator in context.plugs.operators}
        self._morphs = morphs
        self._predicates: Predicates = {}

    def compile(self) -> tuple[Rule, ...]:
        """All rules, in order."""
        self._morphs.check_named()
        if not isinstance(self._rules, Sequence):
            return ()
        first: dict[str, Node] = {}
        rules: list[Rule] = []
        for index, node in enumerate(self._rules.items):
            path: tuple[PathPart, ...] = ("rules", index)
            name_node = node_at(node, ("name",))
            name = name_node.text if isinstance(name_node, Scalar) else ""
            if name_node is not None and name and name in first:
                self._context.report.error(
                    "DR204",
                    f"two rules are named '{name}'",
                    name_node.place,
                    path=show_path((*path, "name")),
                    other=first[name].place,
                )
            elif name_node is not None:
                first[name] = name_node
            rules.append(self._rule(name or f"rule {index + 1}", node, path))
            self._context.work.spend(self._context.mistake, node.place)
        return tuple(rules)

    def _rule(self, name: str, node: Node, path: tuple[PathPart, ...]) -> Rule:
        checked = self._context.shapes.check(node, shapes_rules.RULE, path, data=raw_rule(node))
        data = checked.data
        steps: tuple[Step, ...] = ()
        if "morph" in data:
            written = node_at(node, ("morph",)) or node
            steps = self._morphs.steps(written, (*path, "morph"))
        acts = [key for key in ("route", "discard", "refuse") if key in data]
        if len(acts) > 1:
            place = place_at(node, (acts[1],), at_key=True)
            message = (
                f"a rule has only one of route, discard and refuse, this one has {acts[0]} too"
            )
            self._context.report.error("DR106", message, place, path=show_path(path))
        refuse = data.get("refuse")
        return Rule(
            name=name,
            condition=self._condition(node, data, path),
            sends=self._sends(node, steps, path) if "route" in data else (),
            discard="discard" in data,
            refuse=_refusal(refuse) if refuse is not None else None,
            fetch_priors=self._fetch_priors(node, data, path) if "fetch_priors" in data else None,
            final=data.get("final", False),
            enabled=data.get("enabled", True),
            place=(node_at(node, ("name",)) or node).place,
        )

    def _fetch_priors(
        self, node: Node, data: AnyMapping[str, Any], path: tuple[PathPart, ...]
    ) -> FetchPriors:
        """Archives only are asked (DR201, DR208): what else a station holds is no prior."""
        written = data["fetch_priors"]
        archives = [name for name, one in self._stations.items() if one.archive_server]
        named = _listed(written.get("from", []))
        if not named and not archives:
            place = node_at(node, ("fetch_priors",)) or node
            message = "priors are to be fetched, and no station is an archive"
            hint = "archive_server: true on a station"
            self._context.error("DR208", message, place, (*path, "fetch_priors"), hint)
        for index, name in enumerate(named or archives):
            self._archive(name, node, path, index)
        return FetchPriors(
            stations=tuple(name for name in named or archives if name in archives),
            modalities=_listed(written.get("modality", [])),
            words=_listed(written.get("description", [])),
            at_most=written.get("at_most", 3),
            hours=units.hours(written["hours"]) if "hours" in written else None,
        )

    def _archive(self, name: str, node: Node, path: tuple[PathPart, ...], index: int) -> None:
        written = node_at(node, ("fetch_priors", "from"))
        place = written or node_at(node, ("fetch_priors",)) or node
        if isinstance(written, Sequence):
            place = written.items[index]
        at = (*path, "fetch_priors", "from")
        station = self._stations.get(name)
        if name not in self._names:
            message = f"priors are asked of '{name}', which no station defines"
            self._context.error("DR201", message, place, at, did_you_mean(name, self._names))
        elif station is not None and not station.archive_server:
            message = f"priors are asked of '{name}', which is no archive"
            hint = f"add archive_server: true to station '{name}'"
            self._context.error("DR208", message, place, at, hint)
        elif station is not None and not station.query_retrieve:
            message = f"priors are asked of '{name}', which may not be queried"
            hint = f"add query_retrieve: true to station '{name}'"
            self._context.error("DR208", message, place, at, hint)

    def _condition(
        self, node: Node, data: AnyMapping[str, Any], path: tuple[PathPart, ...]
    ) -> Condition:
        written = node_at(node, ("match",))
        try:
            match = raw(written) if written is not None and "match" in data else {}
            condition = compile_condition(
                match,
                station_names=self._names,
                operators=self._operators or None,
                shared=self._predicates,
                spend=lambda units: self._context.work.spend(units, node.place),
            )
        except ConditionProblems as problems:
            for error in problems.problems:
                self._context.plug_error(error, written or node, (*path, "match"))
            return compile_condition({}, station_names=())
        for below, message, hint in impossible_literals(match):
            wrong = node_at(written or node, below) or node
            self._context.warn("DR319", message, wrong, (*path, "match", *below), hint)
        for below, name in literals_of(match, "listener"):
            if name not in self._listeners:
                wrong = node_at(written or node, below) or node
                message = f"no listener is named '{name}'"
                hint = did_you_mean(name, self._listeners)
                self._context.error("DR201", message, wrong, (*path, "match", *below), hint)
        return condition

    def _sends(
        self, node: Node, steps: tuple[Step, ...], path: tuple[PathPart, ...]
    ) -> tuple[Send, ...]:
        route = node_at(node, ("route",)) or node
        entries = list(enumerate(route.items)) if isinstance(route, Sequence) else [(0, route)]
        sends: list[Send] = []
        for index, entry in entries:
            at: tuple[PathPart, ...] = (*path, "route")
            at = (*at, index) if isinstance(route, Sequence) else at
            send = self._send(entry, steps, at)
            if send is not None and any(known.station == send.station for known in sends):
                message = f"'{send.station}' stands twice in this route"
                self._context.error("DR204", message, entry, at)
            elif send is not None:
                sends.append(send)
        return tuple(sends)

    def _send(self, node: Node, steps: tuple[Step, ...], path: tuple[PathPart, ...]) -> Send | None:
        if isinstance(node, Scalar):
            station = self._destination(node, path)
            return (
                None if station is None else Send(station, self._recipe(steps, station, node.place))
            )
        data = self._context.shapes.check(
            node, shapes_rules.ROUTE_ENTRY, path, data=raw_rule(node)
        ).data
        if isinstance(node, Mapping) and ("to" in node.entries) == ("first_of" in node.entries):
            given = "both" if "to" in node.entries else "neither"
            message = f"a route entry has exactly one of 'to' and 'first_of', this one has {given}"
            self._context.error("DR103", message, node, path)
            return None
        stations = self._targets(node, data, path)
        if "morph" in data:
            written = node_at(node, ("morph",)) or node
            steps = (*steps, *self._morphs.steps(written, (*path, "morph")))
        kinds = {self._stations[one].kind for one in stations if one in self._stations}
        kind = "dicomweb" if "dicomweb" in kinds else "dicom"
        syntax = declared(node, data, kind, path, self._context)
        if not stations:
            return None
        first, *others = (
            Option(one, self._recipe(steps, one, node.place).leaving_in(syntax)) for one in stations
        )
        return Send(
            station=first.station,
            recipe=first.recipe,
            priority=Priority.of(data.get("priority", "medium")),
            silence=self._silence(node, data, path),
            others=tuple(others),
        )

    def _recipe(self, steps: tuple[Step, ...], name: str, place: Place) -> Recipe:
        """The steps of rule and route, then those of the station they lead to."""
        self._context.work.spend(STEP * len(steps), place)
        recipe = Recipe.of(steps)
        station = self._stations.get(name)
        return recipe if station is None else recipe.then(station.hooks.send)

    def _targets(
        self, node: Node, data: AnyMapping[str, Any], path: tuple[PathPart, ...]
    ) -> list[str]:
        """The stations that may get it, in order, each once (DR204)."""
        if "to" in data:
            name = self._destination(node_at(node, ("to",)) or node, (*path, "to"))
            return [] if name is None else [name]
        choices = node_at(node, ("first_of",))
        if not isinstance(choices, Sequence) or "first_of" not in data:
            return []
        names: list[str] = []
        for index, item in enumerate(choices.items):
            at = (*path, "first_of", index)
            name = self._destination(item, at)
            if name in names:
                self._context.error("DR204", f"'{name}' stands twice in this first_of", item, at)
            elif name is not None:
                names.append(name)
        return names

    def _destination(self, node: Node, path: tuple[PathPart, ...]) -> str | None:
        """A station that may be sent to (DR201, DR207)."""
        name = node.text if isinstance(node, Scalar) and isinstance(node.value, str) else ""
        if not name:
            self._context.error("DR102", "the name of a station is expected here", node, path)
            return None
        station = self._stations.get(name)
        if name not in self._names:
            hint = "" if self._context.report.is_full else did_you_mean(name, self._names)
            message = f"the route leads to '{name}', which no station defines"
            self._context.error("DR201", message, node, path, hint)
        elif ("stations", name) in self._context.faulty:
            pass  # it has a mistake of its own, and that is told
        elif station is not None and not station.send:
            message = f"the route leads to '{name}', which may not be sent to"
            hint = f"add send: true to station '{name}'"
            self._context.error("DR207", message, node, path, hint)
        return name

    def _silence(
        self, node: Node, data: AnyMapping[str, Any], path: tuple[PathPart, ...]
    ) -> Silence | None:
        of = data.get("when", "instance")
        if of in ("series", "study"):
            idle = units.seconds(data["idle"]) if "idle" in data else IDLE_SECONDS
            return Silence(of, idle)
        if "idle" in data:
            wrong = node_at(node, ("idle",)) or node
            message = "'idle' says nothing here: each instance is sent at once"
            hint = "when: study, or when: series"
            self._context.warn("DR329", message, wrong, (*path, "idle"), hint)
        return None


def _listed(written: Any) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(map(str, written))


def raw_rule(node: Node) -> Any:
    """The plain value of a rule or route entry, without what is inside `match` and `morph`.

    Those two have their own compilers; here only their kind matters.
    """
    if not isinstance(node, Mapping):
        return _shallow(node)
    return {
        key: plain(entry.value) if key == "fetch_priors" else _shallow(entry.value)
        for key, entry in node.entries.items()
    }


def _shallow(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [item.value if isinstance(item, Scalar) else {} for item in node.items]
    return {
        key: entry.value.value if isinstance(entry.value, Scalar) else {}
        for key, entry in node.entries.items()
    }


def _refusal(data: AnyMapping[str, Any]) -> Refusal:
    return Refusal(data.get("status", _REFUSED_BY_RULE), data.get("comment", "refused by a rule"))
