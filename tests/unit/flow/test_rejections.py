"""Rejection notes (IHE IOCM, protocols 4.5): what each code does here, and whom the note goes to."""

from __future__ import annotations

import io

import pydicom
import pytest

from router.model.delivery import Disposition, Result, State
from router.model.instance import Source
from router.store.recovery import recover
from tests.support.inside import CT1, Edge, Neighbour
from tests.support.key_objects import (
    QUALITY,
    RETENTION,
    SAFETY,
    WORKLIST,
    key_object,
)
from tests.support.store_making import open_store, owed, settled
from tests.support.synthetic import IMPLICIT_VR_LITTLE_ENDIAN, instance

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  ris: {ae_title: RIS, host: 10.0.0.9}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true, iocm: true}
  vna: {ae_title: VNA, host: vna.example, port: 104, send: true, iocm: true}
  ws: {ae_title: WS, host: ws.example, port: 104, send: true}
rules:
  - {name: images, match: {Modality: CT}, route: [pacs, ws]}
  - {name: the rest, match: {not: {Modality: CT}}, route: [pacs, vna, ws]}
"""
RIS = Source("lan", "RIS", "EDGE", "10.0.0.9", "ris")


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE)
    yield made
    made.index()
    assert made.ledger.account().differences == ()
    made.close()


def images(count=2, **options):
    return [instance(n, rows=8, columns=8, study=1, **options) for n in range(1, count + 1)]


def deliver(edge, station="pacs", result=Result.DELIVERED, state=State.DELIVERED):
    """Lease all there is for a station and settle it so; the UIDs, in order."""
    leased = edge.lease(station)
    edge.ledger.turn([settled(one, result, state) for one in leased], {}, edge.clock.now())
    return [one.sop_instance_uid for one in leased]


def states(edge, found):
    """Station → state of the deliveries of an object."""
    return {
        one.station: one.state.value
        for held in edge.ledger.find_instances(found.sop_instance_uid)
        for one in edge.ledger.deliveries_of_instance(held.instance_id)
    }


def listed(edge, study):
    return [one.sop_instance_uid for one in edge.ledger.held_versions(study)]


@pytest.mark.parametrize("code", [SAFETY, WORKLIST])
def test_f24_safety_and_worklist_cancel_what_is_unsent_everywhere_and_tell_who_has_some(edge, code):
    first, second = images()
    note = key_object(code, [first, second])
    edge.keep(first)
    assert deliver(edge) == [first.sop_instance_uid]
    edge.keep(second)
    edge.keep(note, source=RIS)
    assert states(edge, first) == {"pacs": "delivered", "ws": "cancelled"}
    assert states(edge, second) == {"pacs": "cancelled", "ws": "cancelled"}
    assert states(edge, note) == {"pacs": "queued"}, "not ws, which asks for none; not vna"
    assert listed(edge, first.study_instance_uid) == [], "neither the objects nor the note"
    assert edge.ledger.instances_of_study(first.study_instance_uid) == ()
    assert deliver(edge) == [note.sop_instance_uid]
    assert edge.deliveries() == {"created": 5, "delivered": 2, "cancelled": 3}
    tasks = {one.station: one for one in edge.ledger.tasks() if one.requester == "images"}
    assert tasks["ws"].status == "Cancelled"
    assert tasks["ws"].status_reason.startswith(f"rejected: {code} ")
    (told,) = [one for one in edge.ledger.tasks() if one.requester == "rejection note"]
    assert (told.station, told.status, told.priority) == ("pacs", "Completed", "high")
    assert f'rejection_notes_total{{code="{code}"}} 1.0' in edge.metrics.text().decode()


def test_f24_no_note_where_nothing_was_sent(edge):
    found = images()
    edge.keep(*found)
    edge.keep(key_object(SAFETY, found))
    assert edge.deliveries() == {"created": 4, "cancelled": 4}
    assert edge.ledger.retry() == 0


def test_f24_quality_passes_the_note_behind_the_objects_and_keeps_them(edge):
    first, second = images()
    note = key_object(QUALITY, [first, second])
    edge.keep(first, second)
    edge.keep(note, source=RIS)
    assert listed(edge, first.study_instance_uid) == [
        first.sop_instance_uid,
        second.sop_instance_uid,
    ]
    leased = edge.lease()
    assert [one.sop_instance_uid for one in leased] == listed(edge, first.study_instance_uid)
    assert edge.lease() == (), "the note waits for both"
    (task,) = [one for one in edge.ledger.tasks() if one.requester == "rejection note"]
    assert task.status_reason == "waits for what it has to follow"
    edge.ledger.turn([settled(leased[0])], {}, edge.clock.now())
    retried = settled(leased[1], Result.RETRY, State.QUEUED, due_at=edge.clock.now() + 60)
    edge.ledger.turn([retried], {}, edge.clock.now())
    assert edge.lease() == (), "also while one of them waits to be tried again"
    edge.ledger.cancel([edge.ledger.deliveries_of_instance(1)[0].task_id])
    assert deliver(edge) == [note.sop_instance_uid]


def test_f24_a_station_that_wants_nothing_rejected_is_sent_no_more_for_quality_either(tmp_path):
    site = SITE.replace("port: 104, send: true}", "port: 104, send: true, cancel_unsent: all}")
    edge = Edge(tmp_path, site)
    found = images(1)
    edge.keep(*found)
    edge.keep(key_object(QUALITY, found))
    assert states(edge, found[0]) == {"pacs": "queued", "ws": "cancelled"}
    edge.close()


def test_f24_what_is_being_sent_when_it_is_rejected_is_not_tried_again(edge):
    found = images(2)
    note = key_object(SAFETY, found)
    edge.keep(*found)
    first, second = edge.lease()
    edge.keep(note)
    assert edge.lease() == (), "the note waits for what is on its way"
    again = settled(first, Result.RETRY, State.QUEUED, due_at=0.0)
    edge.ledger.turn([again], {}, edge.clock.now())
    assert states(edge, found[0])["pacs"] == "cancelled"
    assert edge.ledger.release_station("pacs", [second.delivery_id]) == 1
    assert states(edge, found[1])["pacs"] == "cancelled"
    assert deliver(edge) == [note.sop_instance_uid], "a try broke off: it may have the object"


def test_f24_retention_is_local_it_hides_and_is_not_passed_on(edge):
    found = images(1)
    edge.keep(*found)
    edge.keep(key_object(RETENTION, found))
    assert states(edge, found[0]) == {"pacs": "queued", "ws": "queued"}
    assert listed(edge, found[0].study_instance_uid) == []
    assert edge.ledger.account().deliveries["created"] == 2
    edge.keep(instance(1, rows=8, columns=8, study=1, changes={0x00200013: ("IS", "9")}))
    assert listed(edge, found[0].study_instance_uid) == [found[0].sop_instance_uid]


@pytest.mark.parametrize("code", [QUALITY, SAFETY, WORKLIST])
def test_f24_what_arrives_after_its_rejection_is_kept_apart_whoever_sends_it(edge, code):
    found = images(1)
    edge.keep(key_object(code, found), source=RIS)
    edge.keep(*found)
    edge.keep(*found, source=RIS)
    late = edge.ledger.find_instances(found[0].sop_instance_uid)
    assert [one.disposition for one in late] == [Disposition.QUARANTINED] * 2
    assert [one.withheld for one in late] == [code, code]
    assert states(edge, found[0]) == {}
    assert listed(edge, found[0].study_instance_uid) == []
    with pytest.raises(KeyError):
        edge.ledger.send([late[0].instance_id], owed(rule="send:somebody"), edge.clock.now())


def test_f24_a_note_about_unknown_objects_goes_where_rules_lead_among_those_who_want_notes(edge):
    note = key_object(SAFETY, images(1))
    edge.keep(note, source=RIS)
    assert states(edge, note) == {"pacs": "queued", "vna": "queued"}


def test_f24_a_note_does_not_go_back_to_whom_it_came_from(edge):
    found = images(1)
    edge.keep(*found)
    deliver(edge)
    archive = Source("lan", "PACS", "EDGE", "10.0.0.2", "pacs")
    note = key_object(SAFETY, found)
    edge.keep(note, source=archive)
    assert states(edge, note) == {}


def test_f24_the_same_note_again_changes_nothing_whoever_brings_it(edge):
    found = images(1)
    note = key_object(SAFETY, found)
    edge.keep(*found)
    deliver(edge)
    edge.keep(note)
    for source in (CT1, RIS, CT1):
        edge.keep(note, source=source)
    assert len(edge.lease()) == 1
    edge.keep(note, source=RIS)
    assert edge.deliveries()["created"] == 3


@pytest.mark.parametrize(
    ("title", "scheme"), [("113000", "DCM"), (SAFETY, "99MINE"), ("REVOKE", "99DCM4CHEE")]
)
def test_f24_other_key_objects_are_ordinary_objects(edge, title, scheme):
    found = images(1)
    edge.keep(*found)
    note = key_object(title, found, scheme=scheme)
    edge.keep(note)
    assert states(edge, found[0]) == {"pacs": "queued", "ws": "queued"}
    assert states(edge, note) == {"pacs": "queued", "vna": "queued", "ws": "queued"}
    assert len(listed(edge, found[0].study_instance_uid)) == 2


def test_f24_a_note_that_names_nothing_is_quarantined_and_goes_nowhere(edge):
    note = key_object(SAFETY, images(1), changes={0x0040A375: ("SQ", []), 0x0040A730: ("SQ", [])})
    edge.keep(note)
    (held,) = edge.ledger.find_instances(note.sop_instance_uid)
    assert held.disposition is Disposition.QUARANTINED
    assert edge.deliveries() == {}
    assert edge.lines("a rejection note cannot be read, quarantined")


@pytest.mark.parametrize("missing", [0x0040A375, 0x0040A730])
def test_f24_what_evidence_or_content_tree_names_alone_is_rejected_too(edge, missing):
    found = images(2)
    edge.keep(*found)
    edge.keep(key_object(SAFETY, found, changes={missing: ("SQ", [])}))
    assert edge.deliveries() == {"created": 4, "cancelled": 4}


def test_f24_the_class_may_be_said_by_the_data_set_alone(edge):
    """As in STOW-RS, where no command names it; and in any transfer syntax."""
    found = images(1)
    edge.keep(*found)
    note = key_object(SAFETY, found, transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN)
    assert edge.take(note, sop_class_uid="", sop_instance_uid="").status == 0
    edge.index()
    assert states(edge, found[0]) == {"pacs": "cancelled", "ws": "cancelled"}


def test_f24_unmatched_notes_are_not_refused_but_a_rule_may_refuse_them(tmp_path):
    refusing = "router: {unmatched: refuse}\n" + SITE.replace(
        "  - {name: the rest, match: {not: {Modality: CT}}, route: [pacs, vna, ws]}\n",
        "  - {name: none of the ris, match: {Modality: KO, from: ris}, refuse: {status: 0xC123, comment: no}}\n",
    )
    edge = Edge(tmp_path, refusing)
    found = images(1)
    edge.keep(*found)
    note = key_object(SAFETY, found)
    assert edge.take(note, RIS).status == 0xC123
    assert edge.take(note).status == 0
    edge.index()
    assert states(edge, found[0]) == {"pacs": "cancelled", "ws": "cancelled"}
    edge.close()


def test_F12_recovery_does_from_the_journal_alone_what_a_note_says(edge):
    found = images(1)
    note = key_object(SAFETY, found)
    edge.keep(*found)
    deliver(edge)
    assert edge.take(note, RIS).status == 0
    edge.indexer._waiting.clear()  # killed between the answer and the ledger
    edge.store.close()
    edge.store = open_store(edge.folder / "data", clock=edge.clock, boot_id="another")
    edge.journal, edge.ledger = edge.store.journal, edge.store.ledger
    recover(edge.journal, edge.ledger)
    assert states(edge, found[0]) == {"pacs": "delivered", "ws": "cancelled"}
    assert deliver(edge) == [note.sop_instance_uid]


def test_f24_the_note_names_its_objects_as_the_station_knows_them(tmp_path):
    """Rule 4: the recipe of the objects at that station, at any depth of the note."""
    site = SITE.replace(
        "route: [pacs, ws]}",
        "route: [ws, {to: pacs, morph: [{remap_uids: {except: [FrameOfReferenceUID]}}]}, "
        "{to: vna, morph: [{deidentify: {profile: basic}}]}]}",
    )
    edge = Edge(tmp_path, site)
    found = images(2)
    note = key_object(QUALITY, found)
    edge.keep(*found)
    edge.keep(note)
    pacs, vna, ws = Neighbour(), Neighbour(), Neighbour()
    with edge.dispatching(pacs=pacs, vna=vna, ws=ws):
        edge.wait_for(delivered=8)
    assert len(ws.received) == 2
    for station in (pacs, vna):
        *sent, last = (_read(one.data) for one in station.received)
        uids = {one.SOPInstanceUID for one in sent}
        assert uids.isdisjoint(one.sop_instance_uid for one in found)
        assert last.SOPClassUID == note.sop_class_uid
        assert last.SOPInstanceUID != note.sop_instance_uid
        (study,) = last.CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        assert study.StudyInstanceUID == last.StudyInstanceUID == sent[0].StudyInstanceUID
        assert series.SeriesInstanceUID == sent[0].SeriesInstanceUID
        assert {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence} == uids
    content = {
        one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for one in _read(pacs.received[-1].data).ContentSequence
    }
    assert content == {_read(one.data).SOPInstanceUID for one in pacs.received[:-1]}
    edge.close()


def _read(data):
    return pydicom.dcmread(io.BytesIO(data), force=True)
