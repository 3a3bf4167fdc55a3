"""Hooks of stations: what they do on receive is what the rules see, and what everybody gets.

One intake, one ledger and the bytes that leave, from one scanner with a hook to stations of all
kinds; what is kept is what came.
"""

from __future__ import annotations

import io

import pydicom
import pytest

from router.flow import received
from router.flow.explain import Subject, explain
from router.flow.held import received_by
from router.model.delivery import Disposition
from router.plugs import morphs
from tests.support.inside import CT1, MAPPING_KEY, Edge, Neighbour
from tests.support.synthetic import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    instance,
)

SITE = """\
stations:
  ct-1:
    ae_title: CT1
    host: 10.0.0.1
    issuer_of_patient_id: HOSPA
    morph:
      receive:
        - prefix: {PatientID: A-}
        - map: {tag: Modality, table: {CTA: CT}}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true, morph: {send: named}}
  first:
    {ae_title: FIRST, host: first.example, port: 104, send: true, original_patient_id: true}
  study: {ae_title: STUDY, host: s.example, port: 104, send: true, original_patient_id: true}
morphs:
  named: [{suffix: {PatientID: -P}}, {set: {StationName: "{{ PatientID }}"}}]
rules:
  - name: of our house, by what the hook made of it
    match: {Modality: CT, IssuerOfPatientID: HOSPA, PatientID: {glob: "A-*"}}
    morph: [{suffix: {PatientID: -R}}]
    route:
      - {to: pacs, morph: [{suffix: {PatientID: -T}}]}
      - first
  - name: for a study
    match: {from: ct-1}
    morph: [{deidentify: {profile: basic, burned_in: allow}}]
    route: [study]
"""
PATIENT_ID, ISSUER, MODALITY = 0x00100020, 0x00100021, 0x00080060


def made(syntax=EXPLICIT_VR_LITTLE_ENDIAN, issuer="", patient_id="17"):
    changes = {
        PATIENT_ID: ("LO", patient_id),
        MODALITY: ("CS", "CTA"),
        ISSUER: ("LO", issuer),
    }
    return instance(1, rows=8, columns=8, transfer_syntax_uid=syntax, changes=changes)


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE)
    yield made
    made.close()


def leave(edge, found):
    """The object is taken, and sent: what each station got, read by pydicom."""
    edge.keep(found)
    neighbours = {name: Neighbour() for name in ("pacs", "first", "study")}
    with edge.dispatching(**neighbours):
        edge.wait_for(created=edge.deliveries()["created"], queued=0, sending=0)
    return {
        name: [pydicom.dcmread(io.BytesIO(one.data), force=True) for one in each.received]
        for name, each in neighbours.items()
    }


def identity(data_set):
    return data_set.get("PatientID"), data_set.get("IssuerOfPatientID")


def test_f34_receive_then_rule_then_route_then_send_and_last_the_original(edge):
    image = made()
    sent = leave(edge, image)
    (pacs,), (first,), (study,) = sent["pacs"], sent["first"], sent["study"]
    assert identity(pacs) == ("A-17-R-T-P", "HOSPA")
    assert pacs.StationName == "A-17-R-T-P", "the steps of a hook run in order"
    assert (pacs.Modality, first.Modality) == ("CT", "CT")
    assert identity(first) == ("17", ""), "as it came: what was blank is blank again"
    assert study.PatientID not in {"17", "A-17"}
    assert study.get("IssuerOfPatientID") in (None, ""), "de-identification wins"
    assert pacs.PixelData == first.PixelData
    stored = edge.ledger.find_instances(image.sop_instance_uid)[0]
    assert edge.store.read(stored.record) == image.data_set, "what is kept is what came"


@pytest.mark.parametrize(
    "syntax",
    [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN],
)
def test_rules_see_what_the_hook_made_in_every_coding(edge, syntax):
    image = made(syntax)
    edge.keep(image)
    stored = edge.ledger.find_instances(image.sop_instance_uid)[0]
    assert stored.rules == ("of our house, by what the hook made of it", "for a study")
    told = explain(
        edge.plan,
        Subject(
            lambda offset, length: image.data_set[offset : offset + length],
            len(image.data_set),
            syntax,
            image.sop_class_uid,
            CT1,
            stored.instance.received_at,
        ),
        {morph.name: morph for morph in morphs()},
        MAPPING_KEY,
    )
    assert tuple(rule.name for rule in told.rules if rule.matched) == stored.rules
    assert {change.keyword: change.after for change in told.received} == {
        "Modality": "CT",
        "PatientID": "A-17",
        "IssuerOfPatientID": "HOSPA",
    }
    owed = {one.owed.station: one.owed.recipe.digest for one in told.owed}
    leased = {station: edge.lease(station)[0].recipe_digest for station in owed}
    assert leased == owed, "what is explained is what is owed"


def test_f36_an_issuer_that_is_there_stays(edge):
    sent = leave(edge, made(issuer="OTHER"))
    assert edge.ledger.account().instances["routed"] == 1
    assert identity(sent["study"][0])[1] in (None, "")
    assert not sent["pacs"], "the rule asked for the issuer of the house"


def test_p4_what_a_receive_hook_fails_on_is_kept_and_goes_nowhere(edge):
    image = made(patient_id="X" * 64)
    answer = edge.take(image)
    edge.index()
    assert answer.status == 0, "the image is safe here"
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    assert stored.disposition is Disposition.QUARANTINED
    assert edge.deliveries() == {}
    (line,) = edge.lines("the receive hook failed, instance quarantined")
    assert "PatientID" in line["reason"]
    assert "XXX" not in line["reason"]


@pytest.mark.parametrize(
    ("behind", "disposition"), [({}, "routed"), ({0x00700081: ("CS", "BEHIND")}, "quarantined")]
)
def test_a_large_value_is_no_reason_to_keep_an_object_back(edge, monkeypatch, behind, disposition):
    monkeypatch.setattr(received, "MAX_HEADER_BYTES", 200_000)
    changes = {0x00420011: ("OB", b"%PDF" * 100_000), MODALITY: ("CS", "CTA"), **behind}
    image = instance(1, rows=8, columns=8, changes=changes)
    edge.keep(image)
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    assert stored.disposition.value == disposition


def test_what_a_hook_did_stays_with_the_instance(edge):
    image = made()
    edge.keep(image)
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    assert received_by(edge.journal, stored) == edge.plan.stations["ct-1"].hooks.receive


def test_a_header_too_long_for_a_hook_is_quarantined_and_not_sent_unchanged(edge, monkeypatch):
    monkeypatch.setattr(received, "MAX_HEADER_BYTES", 100)
    edge.keep(made())
    assert edge.ledger.account().instances["quarantined"] == 1
    assert "longer than" in edge.lines()[-1]["reason"]


def test_other_senders_pay_nothing_and_are_not_changed(edge):
    image = made()
    edge.keep(image, source=type(CT1)("lan", "MR1", "EDGE", "10.0.0.9", None))
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    assert stored.rules == ()
