"""A plan of a thousand rules decides as a naive reading of the same rules does.

The reference below is written from the description of the language alone: no closures, no caches,
no shared look-ups, every rule read anew for every instance.
"""

from __future__ import annotations

import fnmatch
import json
import random
import re
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.config.load import load_texts
from router.dicom.tags import keyword_for, vr_for
from router.dicom.values import Attribute
from router.flow.route import decide
from router.match.facts import Facts
from router.model.instance import Source
from router.model.path import Path
from router.model.plan import Plan
from tests.support.configuration import BASE, all_plugs

Instance = dict[str, Any]
STATIONS = ("pacs", "cloud", "night", "drop")
MODALITIES = ("CT", "MR", "US", "SR")
TYPES = ("ORIGINAL", "DERIVED", "PRIMARY", "AXIAL")


def random_predicate(dice: random.Random) -> Any:
    """One key of a match and what is asked of it."""
    return dice.choice(
        [
            lambda: ("Modality", dice.choice(MODALITIES)),
            lambda: ("Modality", dice.sample(MODALITIES, 2)),
            lambda: ("Modality", {"glob": dice.choice(["C*", "?R", "[MU]?"])}),
            lambda: ("PatientID", {"regex": dice.choice(["^0", "9$", "[13]", "^[0-9]{3}$"])}),
            lambda: ("PatientID", dice.choice(["001", "123", "99"])),
            lambda: ("ImageType", dice.choice(TYPES)),
            lambda: ("ImageType", {"all": dice.sample(TYPES, 3)}),
            lambda: ("SeriesNumber", {dice.choice(["gt", "ge", "lt", "le"]): dice.randint(0, 9)}),
            lambda: ("SeriesNumber", {"between": sorted([dice.randint(0, 9), dice.randint(0, 9)])}),
            lambda: ("SeriesNumber", dice.randint(0, 9)),
            lambda: (dice.choice(["StudyID", "PatientID"]), {"exists": dice.random() < 0.5}),
            lambda: (dice.choice(["StudyID", "ImageType"]), {"empty": dice.random() < 0.5}),
            lambda: ("from", dice.choice(STATIONS)),
            lambda: ("from", dice.sample(STATIONS, 2)),
        ]
    )()


def random_match(dice: random.Random, depth: int = 0) -> dict[str, Any]:
    match = dict(random_predicate(dice) for _ in range(dice.randint(1, 3)))
    if depth < 2 and dice.random() < 0.3:
        word = dice.choice(["all", "any"])
        match[word] = [random_match(dice, depth + 1) for _ in range(dice.randint(1, 3))]
    if depth < 2 and dice.random() < 0.3:
        match["not"] = random_match(dice, depth + 1)
    return match


def random_rule(dice: random.Random, number: int, count: int) -> dict[str, Any]:
    rare = 2 / count  # a list rarely ends before its end
    rule: dict[str, Any] = {"name": f"rule {number}", "match": random_match(dice)}
    action = dice.random()
    if action < rare:
        rule["refuse"] = {"status": 0xC001, "comment": f"by rule {number}"}
    elif action < rare + 0.1:
        rule["discard"] = True
    else:
        rule["route"] = [
            {"to": station, "priority": dice.choice(["high", "medium", "low"])}
            for station in dice.sample(STATIONS, dice.randint(1, 2))
        ]
        if dice.random() < 0.3:
            rule["morph"] = [{"set": {"StationName": dice.choice("AB")}}]
    if dice.random() < 2 * rare:
        rule["final"] = True
    if dice.random() < 0.1:
        rule["enabled"] = False
    return rule


@cache
def rules(seed: int, count: int) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [random_rule(dice, number, count) for number in range(count)]


@cache
def plan(seed: int, count: int) -> Plan:
    stations = {
        name: {"ae_title": name.upper(), "host": f"{name}.example", "port": 104, "send": True}
        for name in STATIONS
    }
    texts = {
        "a.yaml": BASE,
        "b.yaml": json.dumps({"stations": stations, "rules": rules(seed, count)}),
    }
    result = load_texts(texts, FilePath("/nowhere"), all_plugs(), environment={})
    assert result.plan is not None, result.render()
    return result.plan


class Header:
    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def get(self, path: Path) -> Attribute | None:
        tag = path.steps[-1].tag
        values = self.instance.get(keyword_for(tag))
        return None if values is None else Attribute(tag, vr_for(tag), tuple(values))


# -- the reference ---------------------------------------------------------------------------------


def one_value_meets(keyword: str, value: str, asked: Any) -> bool:
    if isinstance(asked, list):
        return any(one_value_meets(keyword, value, each) for each in asked)
    if isinstance(asked, dict):
        ((operator, operand),) = asked.items()
        if operator == "glob":
            return fnmatch.fnmatchcase(value, operand)
        if operator == "regex":
            return re.search(operand, value) is not None
        number = int(value)
        if operator == "between":
            return operand[0] <= number <= operand[1]
        return {
            "gt": number > operand,
            "ge": number >= operand,
            "lt": number < operand,
            "le": number <= operand,
        }[operator]
    return int(value) == asked if keyword == "SeriesNumber" else value == asked


def predicate_holds(keyword: str, asked: Any, instance: Instance) -> bool:
    if keyword == "from":
        return instance["from"] in (asked if isinstance(asked, list) else [asked])
    values = instance.get(keyword)
    if isinstance(asked, dict) and "exists" in asked:
        return (values is not None) == asked["exists"]
    if values is None:
        return False
    if isinstance(asked, dict) and "empty" in asked:
        return (values == []) == asked["empty"]
    if isinstance(asked, dict) and "all" in asked:
        return values != [] and all(one_value_meets(keyword, v, asked["all"]) for v in values)
    return any(one_value_meets(keyword, value, asked) for value in values)


def match_holds(match: dict[str, Any], instance: Instance) -> bool:
    for key, asked in match.items():
        if key == "all":
            held = all(match_holds(each, instance) for each in asked)
        elif key == "any":
            held = any(match_holds(each, instance) for each in asked)
        elif key == "not":
            held = not match_holds(asked, instance)
        else:
            held = predicate_holds(key, asked, instance)
        if not held:
            return False
    return True


def expected(written: list[dict[str, Any]], instance: Instance) -> tuple[Any, ...]:
    """Disposition, what is owed, the rules that matched, the refusal's comment."""
    matched: list[str] = []
    owed: dict[tuple[str, str], tuple[int, str]] = {}
    discarded = False
    for rule in written:
        if rule.get("enabled") is False or not match_holds(rule["match"], instance):
            continue
        matched.append(rule["name"])
        if "refuse" in rule:
            return "discarded", {}, tuple(matched), rule["refuse"]["comment"]
        discarded = discarded or "discard" in rule
        for entry in rule.get("route", []):
            change = json.dumps(rule.get("morph"))
            priority = ["high", "medium", "low"].index(entry["priority"])
            known = owed.get((entry["to"], change))
            if known is None or priority < known[0]:
                owed[entry["to"], change] = (priority, rule["name"])
        if rule.get("final"):
            break
    disposition = "routed" if owed else "discarded" if discarded else "unmatched"
    return disposition, owed, tuple(matched), None


def seen(decided: Any) -> tuple[Any, ...]:
    def change(recipe: Any) -> str:
        steps = [{name: parameters} for name, parameters in recipe.unpacked()]
        return json.dumps(steps or None)

    owed = {
        (one.station, change(one.recipe)): (int(one.priority), one.rule) for one in decided.owed
    }
    refusal = decided.refusal.comment if decided.refusal else None
    return str(decided.disposition), owed, decided.rules, refusal


INSTANCES = st.fixed_dictionaries(
    {"from": st.sampled_from(STATIONS)},
    optional={
        "Modality": st.sampled_from(MODALITIES).map(lambda value: [value]) | st.just([]),
        "PatientID": st.text("0139", min_size=1, max_size=3).map(lambda value: [value]),
        "ImageType": st.lists(st.sampled_from(TYPES), max_size=3),
        "SeriesNumber": st.integers(0, 9).map(lambda value: [str(value)]) | st.just([]),
        "StudyID": st.sampled_from([[], ["7"]]),
    },
)


def decided(of: Plan, instance: Instance) -> Any:
    source = Source("lan", "X", "EDGE", "10.0.0.1", instance["from"])
    return decide(of, Facts(Header(instance), source, "1.2.840.10008.1.2.1", "1.2", 0.0))


@settings(max_examples=30, deadline=None)
@given(instance=INSTANCES)
def test_a_thousand_rules_decide_as_the_reference_does(instance: Instance) -> None:
    assert seen(decided(plan(1, 1000), instance)) == expected(rules(1, 1000), instance)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 30), instance=INSTANCES)
def test_a_few_rules_decide_as_the_reference_does(seed: int, instance: Instance) -> None:
    assert seen(decided(plan(seed, 12), instance)) == expected(rules(seed, 12), instance)


def random_instance(dice: random.Random) -> Instance:
    return {
        "from": dice.choice(STATIONS),
        "Modality": [dice.choice(MODALITIES)],
        "PatientID": [dice.choice(["001", "19"])],
        "SeriesNumber": [str(dice.randint(0, 9))],
    }


def test_many_short_lists_decide_as_the_reference_does() -> None:
    dice = random.Random(3)
    for _ in range(1000):
        seed, instance = dice.randint(0, 30), random_instance(dice)
        assert seen(decided(plan(seed, 12), instance)) == expected(rules(seed, 12), instance)


@settings(max_examples=30, deadline=None)
@given(instance=INSTANCES)
def test_what_is_explained_is_what_was_decided(instance: Instance) -> None:
    source = Source("lan", "X", "EDGE", "10.0.0.1", instance["from"])
    for rule, written in zip(plan(2, 40).rules, rules(2, 40), strict=True):
        facts = Facts(Header(instance), source, "1.2.840.10008.1.2.1", "1.2", 0.0)
        assert rule.condition.explain(facts)
        assert rule.condition.test(facts) is match_holds(written["match"], instance)


def test_the_random_rules_and_instances_reach_every_kind_of_end() -> None:
    """Routed, unmatched, refused and discarded all occur, and long lists match often."""
    dice = random.Random(0)
    ends: set[str] = set()
    longest = 0
    for seed in range(31):
        for count in (12, 1000)[: 1 + (seed == 1)]:
            for _ in range(20):
                instance = random_instance(dice)
                disposition, _, matched, refused = expected(rules(seed, count), instance)
                ends.add("refused" if refused else disposition)
                longest = max(longest, len(matched))
    assert ends == {"routed", "unmatched", "refused", "discarded"}
    assert longest > 50
