"""Rules, routes, named lists and tables: each key becomes its value, and what contradicts is told."""

from __future__ import annotations

import pytest

from router.model.delivery import Priority
from router.model.recipe import Recipe
from router.model.rule import Option, Refusal, Send, Silence
from tests.support.configuration import PACS, loaded

TWO = PACS + "  spare: {ae_title: S, host: s.example, port: 104, send: true}\n"


def rule(folder, written: str, before: str = TWO):
    result = loaded(folder, f"{before}rules:\n  - {{name: r, {written}}}\n")
    assert result.errors == (), result.render()
    return result.plan.rules[0]


def codes(folder, written: str, before: str = TWO) -> list[str]:
    result = loaded(folder, f"{before}rules:\n  - {{name: r, {written}}}\n")
    return [problem.code for problem in result.errors]


def test_a_rule_has_its_defaults(tmp_path):
    seen = rule(tmp_path, "route: [pacs]")
    assert seen.sends == (Send("pacs", Recipe.of(())),)
    assert seen.sends[0] == Send("pacs", Recipe.of(()), Priority.MEDIUM, None)
    assert (seen.discard, seen.refuse, seen.final, seen.enabled) == (False, None, False, True)
    assert (seen.condition.spec, seen.condition.needs) == ("{}", frozenset())
    assert seen.condition.test(None) is True
    assert (seen.place.line, seen.place.column, seen.place.length) == (5, 12, 1)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("route: pacs", Send("pacs", Recipe.of(()))),
        ("route: [{to: pacs}]", Send("pacs", Recipe.of(()))),
        ("route: [{to: pacs, when: instance}]", Send("pacs", Recipe.of(()))),
        (
            "route: [{to: pacs, when: series}]",
            Send("pacs", Recipe.of(()), silence=Silence("series", 30)),
        ),
        (
            "route: [{to: pacs, when: study, idle: 2m}]",
            Send("pacs", Recipe.of(()), silence=Silence("study", 120)),
        ),
        ("route: [{first_of: [pacs]}]", Send("pacs", Recipe.of(()))),
        (
            "route: [{first_of: [pacs, spare]}]",
            Send("pacs", Recipe.of(()), others=(Option("spare", Recipe.of(())),)),
        ),
        (
            "route: [{to: pacs, transfer_syntax: ImplicitVRLittleEndian}]",
            Send("pacs", Recipe.of([("transfer_syntax", "1.2.840.10008.1.2")])),
        ),
        (
            "route: [{to: pacs, transfer_syntax: DeflatedExplicitVRLittleEndian}]",
            Send("pacs", Recipe.of([("transfer_syntax", "1.2.840.10008.1.2.1.99")])),
        ),
        (
            "morph: [{remove: PatientID}], route: [{to: pacs, morph: [{blank: StudyID}]}]",
            Send("pacs", Recipe.of([("remove", "PatientID"), ("blank", "StudyID")])),
        ),
    ],
)
def test_a_route(tmp_path, written, expected):
    assert rule(tmp_path, written).sends == (expected,)


@pytest.mark.parametrize(
    ("word", "priority"),
    [
        *(("high", Priority.HIGH), ("medium", Priority.MEDIUM), ("low", Priority.LOW)),
        *(("stat", Priority.HIGH), ("asap", Priority.HIGH), ("urgent", Priority.HIGH)),
        ("routine", Priority.MEDIUM),
    ],
)
def test_f61_priorities_and_their_aliases(tmp_path, word, priority):
    assert rule(tmp_path, f"route: [{{to: pacs, priority: {word}}}]").sends[0].priority is priority


def test_a_route_of_several_keeps_their_order(tmp_path):
    seen = rule(tmp_path, "route: [spare, {to: pacs, priority: low}]")
    assert [(send.station, send.priority.word) for send in seen.sends] == [
        ("spare", "medium"),
        ("pacs", "low"),
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("refuse: {}", Refusal(0xC001, "refused by a rule")),
        ("refuse: {status: 0xA700}", Refusal(0xA700, "refused by a rule")),
        ("refuse: {status: 49153, comment: no}", Refusal(0xC001, "no")),
    ],
)
def test_a_refusal(tmp_path, written, expected):
    assert rule(tmp_path, written).refuse == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("route: []", ["DR106"]),
        ("route: {to: pacs}", ["DR102"]),
        ("route: [[pacs]]", ["DR102"]),
        ("route: ['']", ["DR102"]),
        ("route: [{to: [pacs]}]", ["DR102"]),
        ("route: [{to: pacs, first_of: [spare]}]", ["DR103"]),
        ("route: [{first_of: []}]", ["DR106"]),
        ("route: [{first_of: [pacs, nowhere]}]", ["DR201"]),
        ("route: [{first_of: [pacs, spare, pacs]}]", ["DR204"]),
        ("route: [pacs, {first_of: [pacs, spare]}]", ["DR204"]),
        ("route: [{to: pacs, when: never}]", ["DR104"]),
        ("route: [{to: pacs, transfer_syntax: JPEGBaseline8Bit}]", ["DR220"]),
        ("route: [{to: pacs, transfer_syntax: nonsense}]", ["DR220"]),
        ("route: [{to: pacs, prio: low}]", ["DR101"]),
        ("route: [pacs, {to: pacs}]", ["DR204"]),
        ("discard: false", ["DR104"]),
        ("discard: true, refuse: {}", ["DR106"]),
        ("refuse: {status: 0}", ["DR105"]),
        ("refuse: {status: 0x10000}", ["DR105"]),
        ("refuse: {status: C001}", ["DR102"]),
        (f"refuse: {{comment: {'x' * 65}}}", ["DR105"]),
        ("refuse: yes", ["DR102"]),
        ("match: [Modality]", ["DR102"]),
        ("match: CT", ["DR102"]),
        ("final: 1, discard: true", ["DR102"]),
        ("morph: {set: {PatientID: a}}, discard: true", ["DR102"]),
    ],
)
def test_a_rule_that_cannot_be_meant(tmp_path, written, expected):
    assert codes(tmp_path, written) == expected


@pytest.mark.parametrize("written", ["7", "[a]", "text", "~"])
def test_a_rule_that_is_no_mapping(tmp_path, written):
    result = loaded(tmp_path, f"rules: [{written}]")
    assert [problem.code for problem in result.errors] == ["DR102"]


STEPS = [
    ("m: []", []),
    ("m: [{remove: PatientID}, {remove: StudyID}]", ["remove", "remove"]),
    ("m: [n, {remove: PatientID}, n]\n  n: [{blank: StudyID}]", ["blank", "remove", "blank"]),
    ("m: n\n  n: [{blank: StudyID}]", ["blank"]),
]


@pytest.mark.parametrize(("lists", "names"), STEPS)
def test_named_lists_are_put_in_their_place(tmp_path, lists, names):
    seen = rule(tmp_path, "morph: m, route: [pacs]", f"{TWO}morphs:\n  {lists}\n")
    assert [name for name, _ in seen.sends[0].recipe.unpacked()] == names


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        ("m: [m]", "DR203"),
        ("m: [n]\n  n: [o]\n  o: [m]", "DR203"),
        ("m: [set]", "DR203"),
        ("m: 5", "DR102"),
        ("m: {set: {PatientID: a}}", "DR102"),
        ("m: [5]", "DR102"),
        ("m: [{}]", "DR102"),
        ("m: [[{remove: PatientID}]]", "DR102"),
    ],
)
def test_a_named_list_that_cannot_be_meant_is_told_even_if_unused(tmp_path, lists, code):
    result = loaded(tmp_path, f"morphs:\n  {lists}\n")
    assert {problem.code for problem in result.errors} == {code}


def test_lists_that_double_each_other_end_as_one_problem(tmp_path):
    lists = "".join(f"  m{i}: [m{i + 1}, m{i + 1}]\n" for i in range(30))
    result = loaded(tmp_path, f"morphs:\n{lists}  m30: [{{remove: PatientID}}]\n")
    assert "DR106" in {problem.code for problem in result.errors}


def test_a_table_is_inlined_as_it_was_written(tmp_path):
    tables = "tables:\n  t: {0012: 007, A: 1.50, B: true, C: ~, '': none}\n"
    seen = rule(
        tmp_path,
        "morph: [{map: {tag: StudyID, table: t, otherwise: 0}}], route: [pacs]",
        TWO + tables,
    )
    ((_, parameters),) = seen.sends[0].recipe.unpacked()
    table = {"0012": "007", "A": "1.50", "B": True, "C": "", "": "none"}
    assert parameters == {"tag": "StudyID", "table": table, "otherwise": "0"}


@pytest.mark.parametrize("table", ["[a]", "5", "{a: [b]}", "{a: {b: c}}"])
def test_a_table_that_is_none(tmp_path, table):
    result = loaded(tmp_path, f"tables: {{t: {table}}}\n")
    assert [problem.code for problem in result.errors] == ["DR102"]


def test_each_mistake_of_a_step_is_told_at_its_place(tmp_path):
    text = "morphs:\n  m:\n    - set: {Modality: ct, StudyDate: now, PatientID: ok, Rows: x}\n"
    result = loaded(tmp_path, text)
    assert [problem.path.rsplit(".")[-1] for problem in result.errors] == [
        "Modality",
        "StudyDate",
        "Rows",
    ]


def test_a_disabled_rule_is_checked_all_the_same(tmp_path):
    assert codes(tmp_path, "enabled: false, match: {Modalty: CT}, route: [pacs]") == ["DR210"]


def test_two_rules_without_a_name_are_told_apart(tmp_path):
    result = loaded(tmp_path, "rules: [{discard: true}, {discard: true}]")
    assert [problem.message for problem in result.errors] == [
        "rules[0] needs 'name'",
        "rules[1] needs 'name'",
    ]


LISTENERS = 'listeners:\n  lan: {type: dimse, bind: "127.0.0.1:11112"}\n'


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("listener: lna", "lna"),
        ("listener: {equals: lna}", "lna"),
        ("listener: [lan, wan]", "wan"),
        ("listener: {any: [lan, wan]}", "wan"),
        ("not: {listener: lna}", "lna"),
        ("any: [{Modality: CT}, {all: [{listener: lna}]}]", "lna"),
        ("listener: lan", ""),
        ("listener: {glob: 'w*'}", ""),
        ("listener: (retrieved)", ""),
        ("listener: reject", ""),
    ],
)
def test_a_rule_asks_for_listeners_there_are(tmp_path, written, fault):
    text = f"{LISTENERS}{TWO}rules:\n  - name: r\n    match: {{{written}}}\n    route: [pacs]\n"
    result = loaded(tmp_path, text)
    assert [problem.code for problem in result.errors] == ["DR201"] * bool(fault)
    for problem in result.errors:
        line = text.splitlines()[problem.place.line - 1]
        assert line[problem.place.column - 1 :].startswith(fault)
        assert problem.message == f"no listener is named '{fault}'"
        assert problem.hint == ("did you mean 'lan'?")
