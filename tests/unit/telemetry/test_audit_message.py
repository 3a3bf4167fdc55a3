"""Audit messages against the schema of PS3.15 A.5.1, whatever texts are in them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts

from router.model.audit import AuditedStudy, AuditEvent, AuditQuery, Participant, Patient
from router.telemetry.audit_message import EVENTS, AuditSource, audit_message, laid_out
from tests.support.audit_schema import faults

SOURCE = AuditSource("edge", "Hospital A")
ROLES = ("", "application", "source", "destination", "media")


def event(kind, text="x", **more):
    told = {
        "participants": tuple(Participant(text, role, address=text) for role in ROLES),
        "studies": (AuditedStudy("1.2.3", {"1.2.840.10008.5.1.4.1.1.2": 7}, text),),
        "patient": Patient(text, text, text),
        "query": AuditQuery(text.encode("utf-8", "replace"), "1.2", "1.2.840.10008.1.2.1"),
    }
    return AuditEvent(kind, 1_000_000.5, text, text, 4, text, **(told | more))


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_every_event_is_a_message_of_the_schema(kind):
    assert faults(audit_message(event(kind), SOURCE)) == []
    assert faults(audit_message(event(kind), AuditSource("edge"))) == []


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=40), st.sampled_from(sorted(EVENTS)))
def test_any_text_leaves_the_message_well_formed(text, kind):
    assert faults(audit_message(event(kind, text), SOURCE)) == []


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_every_code_means_what_is_written_beside_it(kind):
    """Judged by the dictionary of PS3.16 annex D as pydicom has it."""
    meanings = {
        code: meaning for known in concepts["DCM"].values() for code, (meaning, *_) in known.items()
    }
    root = ET.fromstring(audit_message(event(kind), SOURCE))
    told = [one.attrib for one in root.iter() if one.get("codeSystemName") == "DCM"]
    assert len(told) > 5
    for one in told:
        assert one["originalText"] == meanings[one["csd-code"]]


def test_what_is_in_a_message():
    message = audit_message(
        AuditEvent(
            "received", 1_000_000.5, "ct-1", "1.2.3",
            participants=(
                Participant("ct-1", "source", True, "10.0.0.1", "AETITLES=CT1"),
                Participant("edge", "destination"),
            ),
            studies=(AuditedStudy("1.2.3", {"1.2.840.10008.5.1.4.1.1.2": 7}),),
            patient=Patient("PID-1", "Yamada^Tarou=山田^太郎", "HOSPA"),
        ),
        SOURCE,
    )  # fmt: skip
    root = ET.fromstring(message)
    head = root.find("EventIdentification")
    assert head.attrib["EventDateTime"] == "1970-01-12T13:46:40.500+00:00"
    assert head.find("EventID").attrib == {
        "csd-code": "110104", "codeSystemName": "DCM", "originalText": "DICOM Instances Transferred",
    }  # fmt: skip
    source = root.find("ActiveParticipant")
    assert source.attrib["NetworkAccessPointTypeCode"] == "2"
    assert source.attrib["AlternativeUserID"] == "AETITLES=CT1"
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.find("ParticipantObjectDescription/SOPClass").attrib["NumberOfInstances"] == "7"
    assert patient.attrib["ParticipantObjectID"] == "PID-1"
    assert patient.find("ParticipantObjectName").text == "Yamada^Tarou=山田^太郎"
    assert laid_out(message.decode()).count("\n") > 10
