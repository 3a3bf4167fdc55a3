"""What is explained is what happens: explain against the live decision and the delivered bytes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import BadDataset
from router.flow.explain import Subject, explain, routed_as
from router.flow.received import ReceiveHooks
from router.model.delivery import Disposition
from router.plugs import morphs
from tests.support.inside import CT1, Edge, plan_of
from tests.support.synthetic import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
    RLE_LOSSLESS,
    instance,
)

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1, character_set: ISO_IR 100}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  cloud: {ae_title: CLOUD, host: cloud.example, port: 104, send: true}
rules:
  - name: no phantoms
    match: {PatientID: PHANTOM}
    refuse: {status: 0xC123, comment: no phantoms}
  - name: heads
    match: {Modality: CT, StudyDescription: {regex: HEAD}}
    morph: [set: {InstitutionName: "{{ source.name }}"}, remove: PatientID]
    route: [{to: cloud, priority: high}]
  - {name: everything of ct-1, match: {from: ct-1}, route: [pacs]}
  - {name: scouts end here, match: {SeriesDescription: SCOUT}, discard: true, final: true}
  - name: will not fit
    match: {Modality: CR}
    morph: [set: {SeriesNumber: "{{ PatientName }}"}]
    route: [cloud]
  - {name: off, enabled: false, route: [cloud]}
"""
MORPHS = {plug.name: plug for plug in morphs()}
HEAD = {0x00081030: ("LO", "HEAD W/O")}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return plan_of(tmp_path_factory.mktemp("site"), SITE)


def subject(image, source=CT1):
    data = image.data_set
    return Subject(
        lambda offset, length: data[offset : offset + length],
        len(data),
        image.transfer_syntax_uid,
        image.sop_class_uid,
        source,
        1_000_000.0,
    )


def small(seed=1, **options):
    return instance(seed, rows=2, columns=2, **options)


@pytest.mark.parametrize("uid", [*NATIVE, RLE_LOSSLESS])
def test_p4_the_changes_told_are_the_bytes_that_leave(tmp_path, plan, uid):
    image = small(1, changes=HEAD, transfer_syntax_uid=uid)
    told = explain(plan, subject(image), MORPHS)
    assert [(one.owed.station, one.failure) for one in told.owed] == [("cloud", ""), ("pacs", "")]
    changes = {change.keyword: (change.before, change.after) for change in told.owed[0].changes}
    assert changes == {
        "InstitutionName": ("General Hospital", "ct-1"),
        "PatientID": ("P000001", "absent"),
    }
    assert told.owed[1].changes == ()

    edge = Edge(tmp_path, SITE)
    edge.keep(image)
    sent = {}
    for leased in (*edge.lease("cloud"), *edge.lease("pacs")):
        with edge.courier().parcels([leased]) as (parcel,):
            sent[leased.station] = b"".join(map(bytes, parcel.outgoing(None).chunks()))
    assert sent["pacs"] == image.data_set
    if uid != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        assert b"P000001" not in sent["cloud"]
        assert b"General Hospital" not in sent["cloud"]
    edge.close()


def test_each_rule_is_told_with_what_it_asked_and_saw(plan):
    told = explain(plan, subject(small(2, changes=HEAD)), MORPHS)
    assert [(rule.name, rule.matched) for rule in told.rules] == [
        ("no phantoms", False),
        ("heads", True),
        ("everything of ct-1", True),
        ("scouts end here", False),
        ("will not fit", False),
        ("off", False),
    ]
    rows = {rule.name: rule.predicates for rule in told.rules}
    ((asked, seen, held),) = rows["no phantoms"]
    assert ("PatientID" in asked, "P000002" in seen, held) == (True, True, False)
    assert [held for *_, held in rows["heads"]] == [True, True]
    assert told.rules[-1].matched is False, "a rule that is off is told and does not act"


def test_the_telling_ends_where_the_rules_end(plan):
    refused = explain(plan, subject(small(3, changes={0x00100020: ("LO", "PHANTOM")})), MORPHS)
    assert [rule.name for rule in refused.rules] == ["no phantoms"]
    assert refused.decision.refusal.status == 0xC123
    assert refused.owed == ()
    final = explain(plan, subject(small(4, changes={0x0008103E: ("LO", "SCOUT")})), MORPHS)
    assert [rule.name for rule in final.rules][-1] == "scouts end here"


def test_a_recipe_that_will_fail_says_so_before_it_does(tmp_path, plan):
    image = small(5, modality="CR")
    told = explain(plan, subject(image), MORPHS)
    (failing,) = [one for one in told.owed if one.owed.station == "cloud"]
    assert failing.changes == ()
    assert "SeriesNumber" in failing.failure
    assert [one.failure for one in told.owed if one is not failing] == [""]


def test_what_would_be_refused_on_the_wire_is_refused_here(plan):
    image = small(6)
    cut = subject(image)
    short = Subject(cut.read, 200, cut.transfer_syntax_uid, cut.sop_class_uid, CT1, 0.0)
    with pytest.raises(BadDataset):
        explain(plan, short, MORPHS)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    modality=st.sampled_from(["CT", "MR", "CR"]),
    study=st.sampled_from(["HEAD W/O", "CHEST", "", "head"]),
    series=st.sampled_from(["SCOUT", "AXIAL", ""]),
    patient=st.sampled_from(["PHANTOM", "P1", ""]),
    sender=st.sampled_from([CT1, None]),
)
def test_explain_and_decide_never_disagree(plan, modality, study, series, patient, sender):
    source = sender or type(CT1)("lan", "WHO", "EDGE", "10.9.9.9")
    changes = {
        0x00081030: ("LO", study),
        0x0008103E: ("LO", series),
        0x00100020: ("LO", patient),
    }
    found = subject(small(7, modality=modality, changes=changes), source)
    told = explain(plan, found, MORPHS)
    decision = routed_as(plan, found, ReceiveHooks(MORPHS)).decision
    assert told.decision == decision
    assert tuple(rule.name for rule in told.rules if rule.matched) == decision.rules
    assert tuple(one.owed for one in told.owed) == decision.owed
    for rule in told.rules:
        if rule.matched:
            assert all(held for *_, held in rule.predicates), rule
    if not decision.owed and decision.refusal is None:
        assert decision.disposition in {Disposition.DISCARDED, Disposition.UNMATCHED}
