"""C-MOVE and C-GET of what is held here, asked by movescu and getscu: bytes, counts, statuses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import RouterFactory, StoreScpFactory
from tests.support.data_set_bytes import data_set_digest
from tests.support.process import free_port, run, wait_until
from tests.support.retrievers import Asker, Told
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.storescp import dcmsend
from tests.support.synthetic import JPEG_2000_LOSSLESS, Synthetic, instance, series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1, issuer_of_patient_id: FROM-CT}
  ws:
    ae_title: WS
    host: 127.0.0.1
    port: $ws
    query_retrieve: true
    send: true
    move_destinations: reading-room
    morph: {send: [{set: {InstitutionName: To WS}}]}
  reading-room: {ae_title: READING, host: 127.0.0.1, port: $reading, send: true}
  other: {ae_title: OTHER, host: 127.0.0.1, port: $reading, send: true}
  silent: {ae_title: SILENT, host: 127.0.0.1, query_retrieve: true, port: $reading}
"""


@pytest.fixture
def images(tmp_path: Path) -> list[Synthetic]:
    """Twelve objects of one study."""
    return list(series(12, rows=16, columns=16))


def started(router: RouterFactory, work: Path, sent: list[Synthetic], **ports: int) -> Router:
    """A router that holds these objects, and lists them."""
    ports = {"ws": free_port(), "reading": free_port(), **ports}
    edge = router(SITE, **ports)
    work.mkdir(exist_ok=True)
    dcmsend(edge.port, [one.write(work) for one in sent], work)
    asker = Asker(work / "asking", edge.port)
    wanted = {one.study_instance_uid for one in sent}
    wait_until(lambda: wanted <= set(asker.find("StudyInstanceUID").uids()), 20, what="all listed")
    wait_until(lambda: edge.instances()["received"] >= len(sent), 20, what="all are in the ledger")
    return edge


def study_of(sent: list[Synthetic]) -> str:
    return f"StudyInstanceUID={sent[0].study_instance_uid}"


def counts(told: Told, which: str) -> int:
    """The last count of sub-operations in a dump of DCMTK."""
    lines = [line for line in told.words.splitlines() if f"{which} Suboperations" in line]
    return int(lines[-1].rsplit(":", 1)[1])


def test_c_move_delivers_through_the_hooks_and_says_who_asked(
    tmp_path: Path, router: RouterFactory, images: list[Synthetic]
) -> None:
    with ScriptedScp() as reading, ScriptedScp() as ws:
        edge = started(router, tmp_path / "in", images, reading=reading.port, ws=ws.port)
        asker = Asker(tmp_path / "asked", edge.port)
        told = asker.move(study_of(images), to="READING")
        assert (told.code_of_status, counts(told, "Completed")) == ("0000", 12)
        assert {one.sop_instance_uid for one in reading.stored} == {
            one.sop_instance_uid for one in images
        }
        assert {one.move_originator for one in reading.stored} == {("WS", 1)}
        assert {one.priority for one in reading.stored} == {1}
        (task,) = edge.tasks()["tasks"]
        assert (task["requester"], task["station"], task["status"]) == (
            "ws",
            "reading-room",
            "Completed",
        )
        series_uid = f"SeriesInstanceUID={images[0].series_instance_uid}"
        image = f"SOPInstanceUID={images[3].sop_instance_uid}\\{images[5].sop_instance_uid}"
        told = asker.move(study_of(images), series_uid, image, level="IMAGE")
        assert (told.code_of_status, counts(told, "Completed")) == ("0000", 2)
        assert {one.sop_instance_uid for one in ws.stored} == {
            images[3].sop_instance_uid,
            images[5].sop_instance_uid,
        }
        # Nothing of what is held matches: success, and no counts but zero.
        told = asker.move("StudyInstanceUID=1.2.3")
        assert (told.code_of_status, counts(told, "Completed")) == ("0000", 0)
        told = asker.move("PatientID=P000001", level="PATIENT", options=("-P",))
        assert (told.code_of_status, counts(told, "Completed")) == ("0000", 12)
        assert edge.deliveries()["delivered"] == 12 + 2 + 12


def test_f33_F33_destinations_that_are_not_to_be_chosen(
    tmp_path: Path, router: RouterFactory, images: list[Synthetic]
) -> None:
    edge = started(router, tmp_path / "in", images[:1])
    asker = Asker(tmp_path / "asked", edge.port)
    for to, status in (("NOBODY", "a801"), ("CT1", "a801"), ("SILENT", "a801"), ("OTHER", "0124")):
        told = asker.move(study_of(images), to=to)
        assert told.code_of_status == status, (to, told.words)
    silent = Asker(tmp_path / "silent", edge.port, calling="SILENT")
    assert silent.move(study_of(images)).code_of_status == "a801"
    for keys, level in ((("PatientID",), "STUDY"), ((study_of(images),), "SERIES")):
        assert asker.move(*keys, level=level).code_of_status == "a900"
    assert edge.deliveries()["created"] == 0


def test_f33_F33_what_the_destination_refuses_is_counted_and_named(
    tmp_path: Path, router: RouterFactory, images: list[Synthetic]
) -> None:
    script = Script(statuses=(0x0000, 0xC000, 0xB000, *[0x0000] * 9, 0xA900))
    with ScriptedScp(script) as ws:
        edge = started(router, tmp_path / "in", images, ws=ws.port)
        asker = Asker(tmp_path / "asked", edge.port)
        told = asker.move(study_of(images))
        assert told.code_of_status == "b000"
        assert [counts(told, which) for which in ("Completed", "Failed", "Warning")] == [10, 1, 1]
        refused = next(one for one in ws.stored if one.answer == 0xC000)
        assert refused.sop_instance_uid in told.words.rsplit("FailedSOPInstanceUIDList", 1)[0]
        told = asker.move(study_of(images))
        assert (told.code_of_status, counts(told, "Failed")) == ("a702", 12)


def test_f33_F33_a_destination_that_is_away_is_said_soon(
    tmp_path: Path, router: RouterFactory, images: list[Synthetic]
) -> None:
    edge = started(router, tmp_path / "in", images)
    asker = Asker(tmp_path / "asked", edge.port)
    began = time.monotonic()
    first = asker.move(study_of(images))
    second = asker.move(study_of(images))
    assert time.monotonic() - began < 15
    for told in (first, second):
        assert (told.code_of_status, counts(told, "Failed")) == ("a702", 12)
    assert edge.open_deliveries() == 0


def test_f33_F33_cancel_and_a_vanished_requester_stop_what_is_queued(
    tmp_path: Path, router: RouterFactory
) -> None:
    # More than are leased at once, of which each takes its time.
    many = list(series(150, rows=16, columns=16))
    with ScriptedScp(Script(pause_seconds=0.05)) as ws:
        edge = started(router, tmp_path / "in", many, ws=ws.port)
        asker = Asker(tmp_path / "asked", edge.port)
        began = time.monotonic()
        told = asker.move(study_of(many), options=("-S", "--cancel", "1"))
        assert told.code_of_status == "fe00"
        assert 1.0 < time.monotonic() - began < 5.0
        assert counts(told, "Remaining") + counts(told, "Completed") == 150
        assert counts(told, "Remaining") > 20
        edge.wait_until_drained()
        before = edge.deliveries()["cancelled"]
        assert before > 0
        run(
            ["timeout", "-s", "KILL", "1.5", "movescu", "-S", "-aet", "WS", "-aec", "EDGE_A",
             "-aem", "WS", "-k", "QueryRetrieveLevel=STUDY", "-k", study_of(many),
             "127.0.0.1", str(edge.port)]
        )  # fmt: skip
        wait_until(lambda: edge.deliveries()["cancelled"] > before, 5, what="the task is closed")
        edge.wait_until_drained()


def test_c_get_gives_the_same_bytes_through_the_hooks(
    tmp_path: Path, router: RouterFactory, storescp: StoreScpFactory, images: list[Synthetic]
) -> None:
    destination = storescp(ae_title="WS")
    edge = started(router, tmp_path / "in", images, ws=destination.port)
    asker = Asker(tmp_path / "asked", edge.port)
    told = asker.get(study_of(images), options=("-S", "+B"))
    assert (told.code_of_status, counts(told, "Completed")) == ("0000", 12)
    assert {str(one.SOPInstanceUID) for one in told.objects} == {
        one.sop_instance_uid for one in images
    }
    assert {one.InstitutionName for one in told.objects} == {"To WS"}
    assert {one.IssuerOfPatientID for one in told.objects} == {"HOSPA"}
    assert asker.move(study_of(images)).code_of_status == "0000"
    moved = {data_set_digest(path) for path in destination.folder.iterdir()}
    got = {data_set_digest(path) for path in (asker.folder / "asked-1").iterdir()}
    assert got == moved
    assert asker.get("StudyInstanceUID=1.2.3").code_of_status == "0000"
    assert edge.deliveries()["created"] == 12


def test_c_get_counts_what_the_peer_cannot_take(tmp_path: Path, router: RouterFactory) -> None:
    mixed = [
        instance(1, study=1, rows=16, columns=16),
        instance(2, study=1, rows=16, columns=16, transfer_syntax_uid=JPEG_2000_LOSSLESS),
    ]
    edge = started(router, tmp_path / "in", mixed)
    asker = Asker(tmp_path / "asked", edge.port)
    told = asker.get(study_of(mixed))
    assert told.code_of_status == "b000"
    assert [counts(told, which) for which in ("Completed", "Failed")] == [1, 1]
    told = asker.get(study_of(mixed[1:]), options=("-S", "-xi"))
    assert [counts(told, which) for which in ("Completed", "Failed")] == [1, 1]
