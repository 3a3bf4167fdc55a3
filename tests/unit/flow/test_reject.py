"""Rejecting what is held: the note that is written, and that it acts like one that came."""

from __future__ import annotations

import io

import pydicom
import pytest

from router.errors import Refused
from router.flow import reject as rejecting
from router.flow.held import HeldHeaders
from router.flow.received import ReceiveHooks
from router.flow.reject import Wanted, chosen, reject
from router.plugs import morphs_by_name
from tests.support.inside import MAPPING_KEY, Edge, Neighbour
from tests.support.key_objects import QUALITY, SAFETY
from tests.support.synthetic import series

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1, morph: {receive: [{prefix: {PatientID: "HOSP-"}}]}}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true, iocm: true}
  research: {ae_title: RES, host: res.example, port: 104, send: true, iocm: true}
  ws: {ae_title: WS, host: ws.example, port: 104, send: true}
rules:
  - name: images
    match: {Modality: CT}
    route: [pacs, ws, {to: research, morph: [{remap_uids: {except: [FrameOfReferenceUID]}}]}]
"""


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE)
    yield made
    made.index()
    assert made.ledger.account().differences == ()
    made.close()


def rejected(edge, wanted):
    headers = HeldHeaders(
        lambda: edge.plan, edge.journal, ReceiveHooks(morphs_by_name(), MAPPING_KEY)
    )
    objects = chosen(edge.ledger, wanted)
    notes = reject(objects, wanted.code, "ana", edge.plan, headers, edge.intake, edge.clock)
    edge.index()
    return notes


def read(data):
    return pydicom.dcmread(io.BytesIO(data), force=True)


def test_f24_a_note_of_ours_names_what_is_held_as_each_station_knows_it(edge):
    images = list(series(3, rows=8, columns=8))
    edge.keep(*images)
    pacs, research, ws = Neighbour(), Neighbour(), Neighbour()
    with edge.dispatching(pacs=pacs, research=research, ws=ws):
        edge.wait_for(delivered=9)
        bad = images[1:]
        wanted = Wanted(
            images[0].study_instance_uid,
            SAFETY,
            sop_instance_uids={one.sop_instance_uid for one in bad},
        )
        (uid,) = rejected(edge, wanted)
        edge.wait_for(delivered=11)
    assert len(ws.received) == 3, "it asks for no notes"
    note, image = read(pacs.received[-1].data), read(pacs.received[0].data)
    assert (note.SOPInstanceUID, note.Modality, note.ValueType) == (uid, "KO", "CONTAINER")
    assert note.ConceptNameCodeSequence[0].CodeValue == SAFETY
    assert note.SeriesInstanceUID != image.SeriesInstanceUID
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "StudyID"):
        assert note[keyword].value == image[keyword].value, keyword
    assert note.PatientID.startswith("HOSP-") and not note.PatientID.startswith("HOSP-HOSP-")
    assert named(note) == {one.sop_instance_uid for one in bad}
    known = {str(read(one.data).SOPInstanceUID) for one in research.received[:3]}
    assert len(named(read(research.received[-1].data)) & known) == 2
    held = edge.ledger.held_versions(images[0].study_instance_uid)
    assert [one.sop_instance_uid for one in held] == [images[0].sop_instance_uid]
    with pytest.raises(Refused, match="rejected already"):
        chosen(edge.ledger, wanted)


def named(note):
    evidence = {
        str(one.ReferencedSOPInstanceUID)
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    content = {
        str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for one in note.ContentSequence
    }
    assert evidence == content and {one.ValueType for one in note.ContentSequence} == {"IMAGE"}
    return evidence


def test_f24_a_long_study_is_rejected_in_several_notes(edge, monkeypatch):
    monkeypatch.setattr(rejecting, "MOST_NAMED", 2)
    images = list(series(5, rows=8, columns=8))
    edge.keep(*images)
    wanted = Wanted(images[0].study_instance_uid, QUALITY, images[0].series_instance_uid)
    assert len(rejected(edge, wanted)) == 3
    assert len(edge.lease("pacs")) == 5, "the notes wait behind what they name"
    assert len(chosen(edge.ledger, wanted)) == 5, "quality hides nothing here"


@pytest.mark.parametrize(
    "wanted", [Wanted("9.9", SAFETY), Wanted("9.9", SAFETY, sop_instance_uids={"1.2"})]
)
def test_f24_what_is_not_held_cannot_be_rejected_here(edge, wanted):
    with pytest.raises(Refused, match="held here"):
        chosen(edge.ledger, wanted)
