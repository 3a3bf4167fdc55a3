"""Routing decides purely from facts and plan."""

from dataclasses import replace
from pathlib import Path

from router.flow.route import decide
from router.match.facts import Facts
from router.model.delivery import Disposition, Priority
from router.model.instance import Source
from router.model.plan import Plan, RouterSettings
from router.model.recipe import Recipe
from router.model.rule import Condition, Option, Refusal, Rule, Send
from router.model.station import Hooks, Station

FACTS = Facts(
    {}, Source("lan", "CT1", "EDGE", "10.0.0.1", "ct-1"), "1.2.840.10008.1.2.1", "1.2", 0.0
)
UPPER = Recipe.of([("set", {"PatientID": "X"})])
NONE = Recipe.of(())


def rule(name, *sends, holds=True, **more):
    condition = Condition(name, frozenset(), lambda _: holds, lambda _: ())
    return Rule(name, condition, tuple(sends), **more)


def send(station, recipe=NONE, priority=Priority.MEDIUM):
    return Send(station, recipe, priority)


def plan(*rules, unmatched="keep", stations=()):
    settings = RouterSettings("r", "R", Path("/nowhere"), unmatched=unmatched)
    known = {station.name: station for station in stations}
    return Plan("d", Path("."), settings, {}, {}, known, tuple(rules))


def test_f100_every_matching_rule_acts_in_order():
    decision = decide(plan(rule("a", send("x")), rule("b", send("y"))), FACTS)
    assert decision.rules == ("a", "b")
    assert [owed.station for owed in decision.owed] == ["x", "y"]
    assert decision.disposition is Disposition.ROUTED


def test_final_ends_the_list():
    decision = decide(plan(rule("a", send("x"), final=True), rule("b", send("y"))), FACTS)
    assert [owed.station for owed in decision.owed] == ["x"]


def test_a_rule_that_does_not_match_neither_acts_nor_ends():
    decision = decide(
        plan(rule("a", send("x"), holds=False, final=True), rule("b", send("y"))), FACTS
    )
    assert [owed.station for owed in decision.owed] == ["y"]


def test_disabled_rules_do_not_act():
    decision = decide(plan(rule("a", send("x"), enabled=False)), FACTS)
    assert decision.disposition is Disposition.UNMATCHED


def test_same_station_and_recipe_is_owed_once_at_the_higher_priority():
    decision = decide(
        plan(
            rule("a", send("x", priority=Priority.LOW)),
            rule("b", send("x", priority=Priority.HIGH)),
        ),
        FACTS,
    )
    assert [(owed.station, owed.priority, owed.rule) for owed in decision.owed] == [
        ("x", Priority.HIGH, "b")
    ]


def test_same_station_with_another_recipe_is_owed_twice():
    decision = decide(plan(rule("a", send("x")), rule("b", send("x", UPPER))), FACTS)
    assert len(decision.owed) == 2


def test_what_a_station_is_owed_itself_is_not_left_to_another_one():
    choice = replace(send("x"), others=(Option("y", UPPER),))
    alone = rule("a", choice), rule("b", send("x", priority=Priority.LOW))
    for rules in (alone, tuple(reversed(alone))):
        (owed,) = decide(plan(*rules), FACTS).owed
        assert (owed.station, owed.others, owed.priority) == ("x", (), Priority.MEDIUM)
    other = replace(send("x"), others=(Option("z", NONE),))
    (owed,) = decide(plan(rule("a", choice), rule("b", other)), FACTS).owed
    assert [one.station for one in owed.alternatives] == ["x", "y"]


def test_what_its_station_does_on_receive_stands_first_for_every_station_that_may_get_it():
    choice = replace(send("x"), others=(Option("y", UPPER),))
    sender = Station("ct-1", "dicom", hooks=Hooks(receive=Recipe.of([("trim", "StudyID")])))
    (owed,) = decide(plan(rule("a", choice), stations=[sender]), FACTS).owed
    steps = [[name for name, _ in one.recipe.unpacked()] for one in owed.alternatives]
    assert steps == [["trim"], ["trim", "set"]]


def test_discard_yields_to_a_rule_that_routes():
    assert decide(plan(rule("a", discard=True)), FACTS).disposition is Disposition.DISCARDED
    both = decide(plan(rule("a", discard=True), rule("b", send("x"))), FACTS)
    assert both.disposition is Disposition.ROUTED


def test_refuse_ends_at_once_and_owes_nothing():
    refusal = Refusal(0xC001, "not here")
    decision = decide(plan(rule("a", send("x")), rule("b", refuse=refusal)), FACTS)
    assert decision.refusal == refusal
    assert decision.owed == ()


def test_unmatched_is_kept_discarded_or_refused_as_configured():
    assert decide(plan(), FACTS).disposition is Disposition.UNMATCHED
    assert decide(plan(unmatched="discard"), FACTS).disposition is Disposition.DISCARDED
    refused = decide(plan(unmatched="refuse"), FACTS).refusal
    assert refused is not None
    assert refused.status & 0xF000 == 0xC000


def test_what_its_station_does_on_receive_stands_first_in_every_recipe():
    first = Recipe.of([("default", {"IssuerOfPatientID": "HOSPA"})])
    scanner = Station("ct-1", "dicom", hooks=Hooks(receive=first))
    sends = rule("a", send("x"), send("y", UPPER))
    decision = decide(plan(sends, stations=[scanner]), FACTS)
    assert [owed.recipe.unpacked() for owed in decision.owed] == [
        first.unpacked(),
        (*first.unpacked(), *UPPER.unpacked()),
    ]
    others = decide(plan(sends, stations=[Station("mr-1", "dicom", hooks=scanner.hooks)]), FACTS)
    assert [owed.recipe for owed in others.owed] == [NONE, UPPER]
