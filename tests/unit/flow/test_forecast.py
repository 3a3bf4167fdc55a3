"""A forecast over what a journal holds: who counts, who cannot, what is shown, and how much."""

from __future__ import annotations

import calendar
from dataclasses import replace

import pytest

from router.flow import forecast as flow_forecast
from router.flow.forecast import BY_HAND, DAMAGED, DUPLICATE, EVICTED, forecast, masked
from router.flow.replay import Replay
from router.model.delivery import Disposition, Priority
from router.model.instance import Source
from router.model.recipe import Recipe
from router.model.rule import Decision, Owed
from router.plugs import morphs
from router.store.envelope import encode
from router.store.ledger import SEND_PREFIX, Indexed
from tests.support.inside import CT1, MAPPING_KEY, Edge, plan_of
from tests.support.store_making import TestClock
from tests.support.synthetic import instance

STATIONS = """\
listeners:
  lan: {type: dimse, bind: "0.0.0.0:11112", accept: known_stations}
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  cloud: {ae_title: CLOUD, host: cloud.example, port: 104, send: true}
"""
ALL = STATIONS + "rules: [{name: all, route: [pacs]}]\n"
MORPHS = {plug.name: plug for plug in morphs()}
# A Sunday at noon in every time zone that matters here; times of rules are local.
SUNDAY = calendar.timegm((2026, 11, 22, 12, 0, 0))


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, ALL, TestClock(SUNDAY))
    yield made
    made.close()


def told(edge, tmp_path, site, *, since=0.0, max_studies=10, running=None):
    new = plan_of(tmp_path / "new", site)
    replay = Replay((running or edge.plan, MAPPING_KEY), (new, MAPPING_KEY), MORPHS)
    return forecast(replay, edge.journal, edge.ledger, since, max_studies)


def test_an_unchanged_configuration_changes_nothing(edge, tmp_path):
    edge.keep(*(instance(number, rows=8, columns=8) for number in range(1, 4)))
    found = told(edge, tmp_path, ALL)
    assert (found.replayed, found.changed, found.studies) == (3, 0, [])
    assert found.outcomes_before == found.outcomes_after == {"routed": 3}


def test_destinations_counts_and_bytes_per_station(edge, tmp_path):
    two = [instance(n, modality=m, rows=8, columns=8) for n, m in ((1, "CT"), (2, "MR"))]
    edge.keep(*two)
    rules = "rules: [{name: ct, match: {Modality: CT}, route: [{to: cloud, priority: high}]}]\n"
    found = told(edge, tmp_path, STATIONS + rules)
    assert (found.changed, found.becomes_unmatched) == (2, 1)
    assert found.outcomes_after == {"routed": 1, "unmatched": 1}
    pacs, cloud = found.stations["pacs"], found.stations["cloud"]
    assert (pacs.deliveries_before, pacs.deliveries_after, pacs.bytes_after) == (2, 0, 0)
    assert pacs.bytes_before == sum(len(one.data_set) for one in two)
    assert (cloud.deliveries_after, cloud.bytes_after) == (1, len(two[0].data_set))
    routes = {one.study_instance_uid: dict(one.routes) for one in found.studies}
    assert routes == {
        two[0].study_instance_uid: {("pacs", "cloud (high)"): 1},
        two[1].study_instance_uid: {("pacs", "unmatched"): 1},
    }


def test_another_station_in_the_place_of_the_first_is_a_change_with_its_values(edge, tmp_path):
    edge.keep(instance(1, rows=8, columns=8))
    rules = "rules: [{name: all, route: [{first_of: [pacs, cloud]}]}]\n"
    found = told(edge, tmp_path, STATIONS + rules)
    assert dict(found.studies[0].routes) == {("pacs", "pacs or cloud"): 1}
    assert found.stations["pacs"].deliveries_after == 1
    assert "cloud" not in found.stations, "whether it comes to that is not foretold"
    hook = "cloud.example, morph: {send: [{set: {StudyID: C1}}]},"
    hook = STATIONS.replace("cloud.example,", hook)
    changed = told(
        edge, tmp_path, hook + rules, running=plan_of(tmp_path / "old", STATIONS + rules)
    )
    assert [station for station, _ in changed.attributes] == ["cloud"]


def test_values_that_leave_are_compared_and_identifiers_masked(edge, tmp_path):
    image = instance(1, rows=8, columns=8, changes={0x00100010: ("PN", "YAMADA^TARO")})
    edge.keep(image)
    steps = "set: {PatientName: DOE^JANE, Manufacturer: ACME}"
    morph = f"rules: [{{name: all, morph: [{steps}], route: [pacs]}}]\n"
    found = told(edge, tmp_path, STATIONS + morph)
    name = found.attributes["pacs", "(0010,0010)"]
    assert (name.keyword, name.before, name.after) == (
        "PatientName",
        "Y… (11 characters)",
        "D… (8 characters)",
    )
    assert found.attributes["pacs", "(0008,0070)"].after == "ACME"
    assert "YAMADA" not in repr(found)
    # The other way round: what a step no longer writes leaves as it came.
    back = told(edge, tmp_path / "b", ALL, running=plan_of(tmp_path / "new2", STATIONS + morph))
    assert back.attributes["pacs", "(0008,0070)"].before == "ACME"
    assert back.attributes["pacs", "(0008,0070)"].after != "ACME"


def test_a_template_over_the_circumstances_changes_without_its_rule(edge, tmp_path):
    rule = 'rules: [{name: all, morph: [set: {StationName: "{{ source.name }}"}], route: [pacs]}]\n'
    edge.keep(instance(1, rows=8, columns=8))
    running = plan_of(tmp_path / "old", STATIONS + rule)
    renamed = STATIONS.replace("ct-1:", "scanner:") + rule
    found = told(edge, tmp_path, renamed, running=running)
    change = found.attributes["pacs", "(0008,1010)"]
    assert (change.before, change.after) == ("c… (4 characters)", "s… (7 characters)")


def test_time_and_weekday_are_those_of_the_reception(edge, tmp_path):
    edge.keep(instance(1, rows=8, columns=8))
    edge.clock.time = SUNDAY + 86_400
    rule = "rules: [{name: sundays, match: {weekday: sunday}, route: [cloud]}]\n"
    assert told(edge, tmp_path, STATIONS + rule).outcomes_after == {"routed": 1}


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("ct-1: {ae_title: CT1, host: 10.0.0.1}", "ct-1: {ae_title: CT2}", "not admitted"),
        ("host: 10.0.0.1}", "host: 10.0.0.2}", "not admitted"),
        ("host: 10.0.0.1}", "host: 10.0.0.1, active: false}", "not admitted"),
        ("  lan:", "  ward:", "routed"),
        ('  lan: {type: dimse, bind: "0.0.0.0:11112"', '  x: {type: dimse, bind: "0.0.0.0:4"', ""),
    ],
)
def test_who_may_send_is_decided_anew(edge, tmp_path, before, after, outcome):
    edge.keep(instance(1, rows=8, columns=8))
    found = told(edge, tmp_path, ALL.replace(before, after))
    assert found.outcomes_after == {outcome or "not admitted": 1}
    assert found.changed == (outcome != "routed")


def test_a_recipe_that_fails_is_foretold_with_its_reason(edge, tmp_path):
    edge.keep(instance(1, rows=8, columns=8))
    step = 'set: {SeriesNumber: "{{ PatientName }}"}'
    rule = f"rules: [{{name: all, morph: [{step}], route: [cloud]}}]\n"
    ((station, reason),) = told(edge, tmp_path, STATIONS + rule).failures
    assert station == "cloud"
    assert "step 1 (set)" in reason


def test_what_cannot_be_replayed_is_counted_with_its_reason(edge, tmp_path):
    image = instance(1, rows=8, columns=8)
    edge.keep(image, image, instance(2, rows=8, columns=8), instance(3, rows=8, columns=8))
    _by_hand(edge)
    first, _, second, _ = sorted(
        edge.ledger.received_since(0.0, ("", 0), 100)[:4], key=lambda one: one.instance_id
    )
    with edge.ledger._database.write() as connection:
        connection.execute(
            "UPDATE instance SET segment = NULL, place = NULL WHERE instance_id = ?",
            (first.instance_id,),
        )
        connection.execute(
            "UPDATE instance SET place = place + 1 WHERE instance_id = ?", (second.instance_id,)
        )
    found = told(edge, tmp_path, ALL)
    assert found.not_replayed == {DUPLICATE: 1, EVICTED: 1, DAMAGED: 1, BY_HAND: 1}
    assert found.replayed == 1


def _by_hand(edge):
    facts = edge.ledger.received_since(0.0, ("", 0), 1)[0].instance
    owed = Owed("pacs", Recipe.of(()), Priority.MEDIUM, f"{SEND_PREFIX}someone")
    decision = Decision(Disposition.ROUTED, (owed,), ())
    writer = edge.journal.begin()
    writer.append(b"something else")
    ref = writer.commit(encode(facts, decision, "plan"))
    other = Source("send", "EDGE", "EDGE", "", "someone")
    made = Indexed(ref, replace(facts, source=other, content_digest=bytes(32)), decision, "plan")
    edge.ledger.index([made])


def test_whoever_waits_is_told_how_far_it_is(edge, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_forecast, "PAGE", 2)
    edge.keep(*(instance(number, rows=8, columns=8) for number in range(1, 6)))
    seen: list[int] = []
    replay = Replay((edge.plan, MAPPING_KEY), (edge.plan, MAPPING_KEY), MORPHS)
    assert forecast(replay, edge.journal, edge.ledger, 0.0, 10, seen.append).replayed == 5
    assert seen == [2, 4]


def test_only_the_days_asked_for_and_no_more_studies_than_wanted(edge, tmp_path):
    for number in range(1, 8):
        edge.clock.time = SUNDAY + number
        edge.keep(instance(number, rows=8, columns=8), source=CT1)
    rule = "rules: [{name: all, route: [cloud]}]\n"
    found = told(edge, tmp_path, STATIONS + rule, since=SUNDAY + 3, max_studies=2)
    assert (found.replayed, len(found.studies), found.beyond["studies"]) == (5, 2, 3)


@pytest.mark.parametrize(
    ("tag", "keyword", "value", "shown"),
    [
        ("(0010,0010)", "PatientName", "A", "… (1 characters)"),
        ("(0010,0010)", "PatientName", "(SMITH)", "(… (7 characters)"),
        ("(0010,0010)", "PatientName", "absent", "absent"),
        ("(0020,000D)", "StudyInstanceUID", "1.2", "1.2"),
        ("(0028,0010)", "Rows", "512", "512"),
        ("(0009,1001)", "", "x", "… (1 characters)"),
        ("RequestAttributesSequence[*].Modality", "Modality", "CT", "… (2 characters)"),
        ("(0008,1110)", "ReferencedStudySequence", "(SQ)", "(SQ)"),
    ],
)
def test_masking_fails_closed(tag, keyword, value, shown):
    assert masked(tag, keyword, value) == shown
