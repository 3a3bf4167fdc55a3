"""Rule tests, run: the engine that routes live, over a data set made of what the test gives.

The data set is encoded and read again by the reader of arriving instances; the decision is
`route.decide`; what a station gets is made by the code that deliveries use.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.analysis.made import USUAL, access, encoded, written
from router.config.cases import Case
from router.dicom.dataset import EditableDataSet
from router.dicom.part10 import MAX_META_BYTES, read_part10
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.dicom.wanted import SOP_CLASS_UID
from router.errors import BadDataset, MorphFailed
from router.flow.explain import Subject, routed_as
from router.flow.received import ReceiveHooks, assumed_character_set, context_of
from router.match.condition import compile_condition
from router.match.facts import Facts
from router.match.named_facts import WEEKDAYS
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.rule import Decision, Owed
from router.morph.apply import compile_recipe
from router.morph.context import EXAMPLE_KEY

_NOON: Final = "12:00"


@dataclass(frozen=True, slots=True)
class Result:
    """One test: what was not as expected, a sentence each; none when it passed."""

    case: Case
    failures: tuple[str, ...]
    seconds: float = 0.0


@dataclass(slots=True)
class Coverage:
    """What tests reached: rules that acted, and of each predicate of a rule which ways it went."""

    rules: set[str] = field(default_factory=set)
    predicates: dict[tuple[str, int, str], set[bool]] = field(default_factory=dict)


class Trial:
    """Runs tests against a plan; the plan may be another one each time."""

    def __init__(self, morphs: Mapping[str, Morph]) -> None:
        self._morphs = morphs
        self._hooks = ReceiveHooks(morphs)

    def run(self, plan: Plan, case: Case, coverage: Coverage | None = None) -> Result:
        """Run one test. Never raises for what a test says."""
        began = time.perf_counter()
        try:
            failures = self._failures(plan, case, coverage)
        except (BadDataset, MorphFailed, OSError) as error:
            failures = [f"the instance cannot be made: {error}"]
        return Result(case, tuple(failures), time.perf_counter() - began)

    def _failures(self, plan: Plan, case: Case, coverage: Coverage | None) -> list[str]:
        instance = _instance(plan, case)
        routed = routed_as(plan, instance, self._hooks)
        decision = routed.decision
        if coverage is not None and routed.facts is not None:
            _cover(plan, routed.facts, decision, coverage)
        expect = case.expect
        failures = _about_decision(expect, decision)
        each = [one for owed in decision.owed for one in owed.alternatives]
        sent = {one.station: one for one in reversed(each)}
        for station, values in expect.get("sent_to", {}).items():
            if station not in sent:
                failures.append(f"nothing is sent to {station}")
                continue
            try:
                gets = self._sent(plan, instance, sent[station])
            except MorphFailed as error:
                failures.append(f"the recipe for {station} fails: {error}")
                continue
            failures += [f"{station}: {one}" for one in _about_values(values, gets)]
        for station in expect.get("fails_for", []):
            if not self._fails(plan, instance, sent.get(station)):
                failures.append(f"the recipe for {station} does not fail")
        return failures

    def _fails(self, plan: Plan, instance: Subject, owed: Owed | None) -> bool:
        if owed is None:
            return False
        try:
            self._sent(plan, instance, owed)
        except MorphFailed:
            return True
        return False

    def _sent(self, plan: Plan, instance: Subject, owed: Owed) -> EditableDataSet:
        character_set = assumed_character_set(plan, instance.source)
        data_set = EditableDataSet(
            instance.read,
            instance.length,
            instance.transfer_syntax_uid,
            default_character_set=character_set,
        )
        context = context_of(plan, instance.source, instance.received_at, EXAMPLE_KEY)
        compile_recipe(owed.recipe, self._morphs)(data_set, context)
        sent = written(data_set, instance.read)
        return EditableDataSet(
            access(sent),
            len(sent),
            instance.transfer_syntax_uid,
            default_character_set=character_set,
        )


def _instance(plan: Plan, case: Case) -> Subject:
    given = case.given
    syntax = str(given.get("transfer_syntax", EXPLICIT_VR_LITTLE_ENDIAN))
    if "file" in given:
        path = case.folder / str(given["file"])
        content = path.read_bytes()
        part10 = read_part10(content[:MAX_META_BYTES])
        body, syntax = content[part10.data_set_offset :], part10.transfer_syntax_uid
    else:
        attributes = {**USUAL, **given.get("dataset", {})}
        named = ((parse_path(str(name)), _texts(value)) for name, value in attributes.items())
        body = encoded(named, syntax)
    read = access(body)
    sop_class = EditableDataSet(read, len(body), syntax).uid(SOP_CLASS_UID)
    return Subject(read, len(body), syntax, sop_class, _source(plan, given), _moment(given))


def _texts(value: Any) -> tuple[str, ...] | str:
    if isinstance(value, list):
        return tuple(str(one) for one in value)
    return "" if value is None else str(value)


def _source(plan: Plan, given: Mapping[str, Any]) -> Source:
    station = plan.stations.get(str(given.get("from", "")))
    listeners = [one for one in plan.listeners.values() if one.kind == "dimse"]
    calling = station.ae_title if station else "ANYONE"
    return Source(
        listener=str(given.get("listener", listeners[0].name if listeners else "")),
        calling_ae_title=str(given.get("calling_ae_title", calling)),
        called_ae_title=str(given.get("called_ae_title", plan.router.ae_title)),
        address=str(given.get("address", (station.host if station else "") or "192.0.2.1")),
        station=station.name if station else None,
    )


def _moment(given: Mapping[str, Any]) -> float:
    """A local time on a day of a week in June 2026, far from any change of clocks."""
    hour, minute = (int(part) for part in str(given.get("time", _NOON)).split(":"))
    day = 1 + WEEKDAYS.index(str(given.get("weekday", "mon")))
    return time.mktime((2026, 6, day, hour, minute, 0, 0, 0, -1))


def _cover(plan: Plan, facts: Facts, decision: Decision, coverage: Coverage) -> None:
    coverage.rules.update(decision.rules)
    for rule in plan.rules:
        for place, (asked, _, held) in enumerate(rule.condition.explain(facts)):
            coverage.predicates.setdefault((rule.name, place, asked), set()).add(held)
        if rule.name in decision.rules and (rule.final or rule.refuse is not None):
            return


def _about_decision(expect: Mapping[str, Any], decision: Decision) -> list[str]:
    failures = []
    outcome = "refused" if decision.refusal else decision.disposition.value
    if "outcome" in expect and expect["outcome"] != outcome:
        failures.append(f"it is {outcome}, not {expect['outcome']}")
    if "rules" in expect and list(expect["rules"]) != list(decision.rules):
        failures.append(f"the rules that act are {_listed(decision.rules)}")
    stations = sorted({owed.station for owed in decision.owed})
    if "route" in expect and sorted(set(expect["route"])) != stations:
        failures.append(f"it goes to {_listed(stations)}")
    return failures


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _about_values(values: Mapping[str, Any], gets: EditableDataSet) -> list[str]:
    """Each attribute that is not as expected; a mapping is a condition on it, as in `match`."""
    failures = []
    for name, wanted in values.items():
        path = parse_path(str(name))
        found = gets.get(path)
        if wanted is None:
            if found is not None and found.values:
                failures.append(f"{name} has a value")
            continue
        if not isinstance(wanted, dict):
            texts = [str(one) for one in found.values] if found is not None else []
            expected = [*map(str, wanted)] if isinstance(wanted, list) else [str(wanted)]
            if texts != [one for one in expected if one != ""]:
                failures.append(f"{name} is {_listed(texts)}, not {_listed(expected)}")
            continue
        condition = compile_condition({str(name): wanted}, station_names=())
        reader = Facts(gets, Source("", "", "", "", None), "", "", 0.0)
        if not condition.test(reader):
            texts = [str(one) for one in found.values] if found is not None else []
            shown = "absent" if found is None else _listed(texts)
            failures.append(f"{name} is {shown}, which is not {wanted}")
    return failures
