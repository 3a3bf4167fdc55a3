"""IOCM between real programs: DCMTK sends and asks, Orthanc and a scripted archive are told."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.conftest import OrthancFactory, RouterFactory, StoreScpFactory
from tests.support.dicomweb_site import DicomwebSite, stow
from tests.support.key_objects import QUALITY, SAFETY, key_object
from tests.support.ledger_view import ledger_of, wait_for
from tests.support.process import run, wait_until
from tests.support.retrievers import Asker
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.storescp import dcmsend
from tests.support.synthetic import Synthetic, series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
defaults:
  station: {heartbeat: {enabled: false}}
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  asker: {ae_title: WS, host: 127.0.0.1, port: 104, query_retrieve: true}
  pacs: {ae_title: ORTHANC, host: 127.0.0.1, port: $pacs, send: true, iocm: true}
  viewer: {ae_title: VIEWER, host: 127.0.0.1, port: $viewer, send: true}
  research:
    {type: dicomweb, url: "$research", profile: orthanc, allow_insecure_http: true, send: true, iocm: true}
rules:
  - name: images
    match: {Modality: CT}
    route:
      - pacs
      - viewer
      - {to: research, morph: [{remap_uids: {except: [FrameOfReferenceUID]}}]}
"""


def sent(port: int, folder: Path, *found: Synthetic) -> None:
    folder.mkdir(exist_ok=True)
    report = dcmsend(port, [one.write(folder) for one in found], folder)
    assert report.accepted == {one.sop_instance_uid for one in found}, report.output


def test_f24_notes_reach_the_archives_that_want_them_and_what_is_rejected_is_not_handed_out(
    router: RouterFactory, orthanc: OrthancFactory, storescp: StoreScpFactory, tmp_path: Path
) -> None:
    pacs, research, viewer = orthanc(), orthanc(), storescp()
    edge = router(SITE, pacs=pacs.dicom_port, viewer=viewer.port, research=research.dicomweb_url)
    images = list(series(3, rows=16, columns=16))
    kept, *bad = images
    sent(edge.port, tmp_path / "images", *images)
    wait_for(edge.data_dir, delivered=9)
    asker = Asker(tmp_path, edge.port)
    query = f"StudyInstanceUID={kept.study_instance_uid}"
    one_series = (query, f"SeriesInstanceUID={kept.series_instance_uid}")

    def found() -> list[str]:
        told = asker.find(*one_series, "SOPInstanceUID", level="IMAGE")
        return told.uids("SOPInstanceUID")

    wait_until(lambda: len(found()) == 3, what="all are listed")
    note = key_object(SAFETY, bad)
    sent(edge.port, tmp_path / "note", note)
    wait_for(edge.data_dir, delivered=11)
    assert (pacs.count(), viewer.count(), research.count()) == (4, 3, 4)
    assert note.data_set in pacs.file(note.sop_instance_uid)
    assert found() == [kept.sop_instance_uid]
    assert asker.find(query, "SeriesInstanceUID", level="SERIES").uids("SeriesInstanceUID") == [
        kept.series_instance_uid
    ], "the series of the note is not listed"
    assert asker.get(query).uids("SOPInstanceUID") == [kept.sop_instance_uid]

    rejected = [one for one in at(research) if one.Modality == "KO"]
    (evidence,) = rejected[0].CurrentRequestedProcedureEvidenceSequence
    named = {
        one.ReferencedSOPInstanceUID
        for one in evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
    }
    known = {one.SOPInstanceUID for one in at(research) if one.Modality == "CT"}
    assert len(named) == 2
    assert named < known, "it names them as the station knows them"
    document = tmp_path / "mapped.dcm"
    document.write_bytes(research.file(rejected[0].SOPInstanceUID))
    dumped = run(["dsrdump", str(document)])
    assert dumped.returncode == 0, "DCMTK reads the mapped note as a key object document"
    assert dumped.stdout.count("contains IMAGE") == 2

    sent(edge.port, tmp_path / "again", *images)
    wait_until(lambda: edge.instances()["received"] == 7, what="all are booked")
    assert edge.instances()["quarantined"] == 2
    assert edge.deliveries()["created"] == 11
    code, told, errors = edge.command("explain", "--instance", note.sop_instance_uid)
    assert code == 0, errors
    assert "rejection note: 113037 Rejected for Patient Safety Reasons" in told
    code, told, errors = edge.command("explain", "--instance", "2")
    assert "withheld: 113037 Rejected for Patient Safety Reasons" in told
    code, told, errors = edge.command(
        "explain", str(tmp_path / "note" / f"{note.sop_instance_uid}.dcm"), "--from", "ct-1"
    )
    assert code == 0, errors
    assert "rejection note: 113037 Rejected for Patient Safety Reasons of 2 objects" in told


def test_f24_what_a_person_rejects_here_is_told_to_the_archives_that_have_it(
    router: RouterFactory, orthanc: OrthancFactory, storescp: StoreScpFactory, tmp_path: Path
) -> None:
    pacs, research, viewer = orthanc(), orthanc(), storescp()
    edge = router(SITE, pacs=pacs.dicom_port, viewer=viewer.port, research=research.dicomweb_url)
    kept, bad = series(2, rows=16, columns=16)
    sent(edge.port, tmp_path / "images", kept, bad)
    wait_for(edge.data_dir, delivered=6)
    words = ("reject", bad.study_instance_uid, "--as", "safety", "--instance", bad.sop_instance_uid)
    code, told, errors = edge.command(*words)
    assert (code, "1 objects would be rejected: 113037" in told) == (2, True), errors
    code, told, errors = edge.command(*words, "--yes")
    assert (code, "1 objects rejected: 113037" in told) == (0, True), errors
    wait_for(edge.data_dir, delivered=8)
    assert (pacs.count(), viewer.count(), research.count()) == (3, 2, 3)
    (note,) = [one for one in at(pacs) if one.Modality == "KO"]
    assert note.StudyInstanceUID == bad.study_instance_uid
    document = tmp_path / "ours.dcm"
    document.write_bytes(pacs.file(note.SOPInstanceUID))
    dumped = run(["dsrdump", str(document)])
    assert dumped.returncode == 0, dumped.stderr
    assert "Rejected for Patient Safety Reasons" in dumped.stdout
    assert dumped.stdout.count("contains IMAGE") == 1
    code, _, errors = edge.command(*words, "--yes")
    assert (code, "rejected already" in errors) == (1, True), errors


def at(server: object) -> list[pydicom.Dataset]:
    """Everything an Orthanc holds."""
    instances = server.rest("/instances")  # type: ignore[attr-defined]
    return [
        pydicom.dcmread(io.BytesIO(server.raw(f"/instances/{one}/file")))  # type: ignore[attr-defined]
        for one in instances
    ]


ARCHIVE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
defaults:
  station: {heartbeat: {enabled: false}}
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs:
    {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true, iocm: true, limits: {associations: 8, batch: {instances: 1}}}
rules:
  - {name: images, match: {Modality: CT}, route: [pacs]}
"""


def test_f24_a_note_waits_for_the_last_of_its_objects_through_refusals_and_an_absence(
    router: RouterFactory, tmp_path: Path
) -> None:
    images = list(series(6, rows=16, columns=16))
    note = key_object(QUALITY, images)
    with ScriptedScp() as away:
        port = away.port
    edge = router(ARCHIVE, pacs=port)
    sent(edge.port, tmp_path / "images", *images)
    sent(edge.port, tmp_path / "note", note)
    wait_for(edge.data_dir, created=7)
    answers = (0xA700, 0x0110, 0x0000, 0x0110, 0x0000)
    with ScriptedScp(Script(statuses=answers), port=port) as archive:
        wait_for(edge.data_dir, delivered=7)
        came = [one.sop_instance_uid for one in archive.stored]
        assert len(came) > 7, "some were refused first"
        assert came[-1] == note.sop_instance_uid
        assert came.count(note.sop_instance_uid) == 1


def test_f24_what_was_cancelled_is_not_sent_when_the_archive_comes_back(
    router: RouterFactory, tmp_path: Path
) -> None:
    images = list(series(4, rows=16, columns=16))
    with ScriptedScp() as archive:
        port = archive.port
        edge = router(ARCHIVE, pacs=port)
        sent(edge.port, tmp_path / "first", images[0])
        wait_for(edge.data_dir, delivered=1)
    sent(edge.port, tmp_path / "rest", *images[1:])
    note = key_object(SAFETY, images)
    sent(edge.port, tmp_path / "note", note)
    wait_for(edge.data_dir, cancelled=3)
    edge.kill()  # SIGKILL: the register and the note are durable
    edge.start()
    with ScriptedScp(port=port) as archive:
        wait_for(edge.data_dir, delivered=2)
        assert [one.sop_instance_uid for one in archive.stored] == [note.sop_instance_uid]
    with ledger_of(edge.data_dir) as ledger:
        reasons = {one.status_reason for one in ledger.tasks() if one.status == "Cancelled"}
    assert reasons <= {"rejected: 113037 Rejected for Patient Safety Reasons"}


def test_f24_what_is_rejected_is_gone_from_the_web_too_whichever_way_the_note_came(
    tmp_path: Path,
) -> None:
    site = DicomwebSite(tmp_path)
    try:
        with site.client("operate", "phi") as client:
            kept, bad = images = list(series(2, rows=16, columns=16))
            assert stow(client, images).status_code == 200
            site.listed(client, 2)
            where = f"/studies/{bad.study_instance_uid}/series/{bad.series_instance_uid}/instances/"
            assert _get(client, where + bad.sop_instance_uid) == 200
            assert stow(client, [key_object(SAFETY, [bad])]).status_code == 200
            wait_until(
                lambda: _get(client, where + bad.sop_instance_uid) == 404, what="it is hidden"
            )
            assert _get(client, where + bad.sop_instance_uid + "/metadata") == 404
            assert _get(client, where + kept.sop_instance_uid) == 200
            assert [one["00080018"]["Value"] for one in site.listed(client, 1)] == [
                [kept.sop_instance_uid]
            ]
            states = [one["state"] for one in client.get("/changefeed").json()]
            assert sorted(states) == ["current", "deleted"], "and no word of the note"
        site.router.assert_balanced()
    finally:
        site.close()


def _get(client: httpx.Client, path: str) -> int:
    return client.get(path).status_code
