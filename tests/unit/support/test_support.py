"""The tools of the tests do what they say: otherwise a green test proves nothing."""

from __future__ import annotations

import io
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from tests.support import corpus, powercut, synthetic, wire
from tests.support.data_set_bytes import data_set_bytes, data_set_digest, meta_information
from tests.support.orthanc import Orthanc
from tests.support.process import Process, free_port, is_listening, run, wait_until
from tests.support.proxy import Fault, FaultProxy, cut
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender
from tests.support.storescp import StoreScp, dcmsend

CT = [(synthetic.SOP_CLASSES["CT"], [synthetic.EXPLICIT_VR_LITTLE_ENDIAN])]


def send(port: int, items: list[synthetic.Synthetic], **options: object) -> list[int]:
    contexts = [(item.sop_class_uid, [item.transfer_syntax_uid]) for item in items]
    with Sender(port, sorted(set((c, tuple(t)) for c, t in contexts)), **options) as sender:
        return [
            sender.store(
                item.sop_class_uid, item.sop_instance_uid, item.transfer_syntax_uid, item.data_set
            )
            for item in items
        ]


@pytest.mark.parametrize("modality", ["CT", "MR", "CR"])
@pytest.mark.parametrize("syntax", [*synthetic.NATIVE, synthetic.JPEG_BASELINE])
def test_synthetic_objects_are_what_pydicom_reads(modality: str, syntax: str) -> None:
    item = synthetic.instance(7, modality=modality, transfer_syntax_uid=syntax, rows=32, columns=16)
    assert item == synthetic.instance(
        7, modality=modality, transfer_syntax_uid=syntax, rows=32, columns=16
    )
    read = pydicom.dcmread(io.BytesIO(item.part10()))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.SOPInstanceUID == item.sop_instance_uid
    assert read.RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeValue == "T-D3000"
    assert read[0x0009, 0x1003].VR in ("SL", "UN")
    assert len(read) >= 85
    if syntax in synthetic.NATIVE:
        assert len(read.PixelData) == 32 * 16 * 2


def test_another_seed_is_another_object_of_the_same_study() -> None:
    first, second = synthetic.series(2, seed=3, rows=8, columns=8)
    assert first.study_instance_uid == second.study_instance_uid
    assert first.sop_instance_uid != second.sop_instance_uid
    assert first.data_set != second.data_set


def test_deflated_data_sets_are_raw_deflate() -> None:
    syntax = synthetic.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    deflated = synthetic.instance(1, transfer_syntax_uid=syntax).data_set
    assert len(deflated) % 2 == 0
    assert zlib.decompressobj(-15).decompress(deflated) == synthetic.instance(1).data_set


def test_a_large_file_is_written_in_chunks_and_readable(tmp_path: Path) -> None:
    facts = synthetic.write_large(tmp_path / "large.dcm", 5, 6 << 20)
    read = pydicom.dcmread(tmp_path / "large.dcm")
    assert read.NumberOfFrames == 6
    assert len(read.PixelData) == 6 << 20
    assert read.SOPClassUID == facts.sop_class_uid == synthetic.MULTIFRAME_GRAYSCALE_WORD


def test_the_raw_data_set_of_a_file_is_found(tmp_path: Path) -> None:
    item = synthetic.instance(2)
    path = item.write(tmp_path)
    assert data_set_bytes(path) == item.data_set
    assert meta_information(path).transfer_syntax_uid == item.transfer_syntax_uid
    other = synthetic.instance(3).write(tmp_path)
    assert data_set_digest(path) != data_set_digest(other)


def test_commands_survive_coding() -> None:
    command = {0x0002: wire.VERIFICATION, 0x0100: 0x0030, 0x0110: 7, 0x0800: 0x0101}
    assert wire.decode_command(wire.encode_command(command)) == command


def test_a_process_and_its_children_are_gone_after_kill(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "sleep 60 & sleep 60"], tmp_path / "sleep.log")
    wait_until(lambda: len(process.group()) == 3, what="two children")
    process.kill()
    assert process.group() == ()


def test_listening_is_seen_without_connecting() -> None:
    port = free_port()
    assert not is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)


@pytest.mark.peers
def test_storescp_keeps_every_object_apart_and_comes_back(
    storescp: Callable[..., StoreScp], tmp_path: Path
) -> None:
    peer = storescp()
    items = list(synthetic.series(3, rows=16, columns=16))
    assert send(peer.port, [*items, items[0]]) == [0, 0, 0, 0]
    wait_until(lambda: peer.count() == 4, what="four files")
    assert len(set(peer.received_uids())) == 3
    peer.restart()
    report = dcmsend(peer.port, [items[1].write(tmp_path)], tmp_path)
    assert report.exit_code == 0, report.output
    assert report.accepted == {items[1].sop_instance_uid}
    wait_until(lambda: peer.count() == 5, what="the fifth file")
    assert items[1].data_set in [data_set_bytes(path) for path in peer.files()]


@pytest.mark.peers
def test_orthanc_takes_dimse_and_answers_rest(orthanc: Callable[..., Orthanc]) -> None:
    peer = orthanc()
    item = synthetic.instance(4)
    assert send(peer.dicom_port, [item], called_ae_title="ORTHANC") == [0]
    assert peer.count() == 1
    assert item.sop_instance_uid.encode() in peer.file(item.sop_instance_uid)
    assert peer.raw("/dicom-web/studies").startswith(b"[")


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xB000, 0xC123])
def test_the_scripted_provider_answers_as_told(status: int) -> None:
    item = synthetic.instance(5, rows=200, columns=200)
    with ScriptedScp(Script(statuses=(status,), max_pdu_bytes=4096)) as scp:
        assert send(scp.port, [item, item]) == [status, status]
        assert [stored.length for stored in scp.stored] == [len(item.data_set)] * 2
        assert scp.largest_pdu_bytes == 4096


@pytest.mark.parametrize("answer", ["wrong-id", "abort", "close", "garbage"])
def test_the_scripted_provider_misbehaves_as_told(answer: str) -> None:
    with ScriptedScp(Script(statuses=(answer,))) as scp:
        with pytest.raises(wire.Closed):
            send(scp.port, [synthetic.instance(5)])


def test_the_scripted_provider_rejects_aborts_and_falls_silent() -> None:
    with ScriptedScp(Script(reject=(2, 3, 2))) as scp:
        with pytest.raises(wire.RejectedAssociation) as rejected:
            send(scp.port, [synthetic.instance(5)])
        assert rejected.value.answer == (2, 3, 2)
        scp.script = Script(abort_at_pdu=2)
        with pytest.raises(wire.Closed):
            send(scp.port, [synthetic.instance(5, rows=512, columns=512)])
        scp.script = Script(stop_reading_after_bytes=100_000)
        with pytest.raises(TimeoutError):
            send(scp.port, [synthetic.instance(5, rows=4096, columns=2048)], timeout_seconds=1.0)
        scp.script = Script(statuses=("none",))
        with pytest.raises(TimeoutError):
            send(scp.port, [synthetic.instance(5)], timeout_seconds=0.3)


def test_the_proxy_cuts_resets_stalls_and_heals() -> None:
    item = synthetic.instance(6, rows=256, columns=256)
    with ScriptedScp() as scp, FaultProxy(scp.port) as proxy:
        assert send(proxy.port, [item]) == [0]
        for fault in (cut(50_000), cut(50_000, reset=True), cut(0)):
            proxy.to_target = fault
            with pytest.raises(wire.Closed):
                send(proxy.port, [item])
        proxy.to_target = Fault(stall_after_bytes=50_000)
        with pytest.raises(TimeoutError):
            send(proxy.port, [item], timeout_seconds=0.5)
        proxy.heal()
        proxy.to_target = Fault(slice_bytes=1000, bytes_per_second=500_000)
        began = time.monotonic()
        assert send(proxy.port, [item]) == [0]
        assert time.monotonic() - began > 0.2
        assert len(scp.stored) == 2


@pytest.mark.skipif(not powercut.is_possible(), reason="LOUD: power cuts need root")
def test_a_power_cut_takes_what_was_not_synced(tmp_path: Path) -> None:
    with powercut.PowerCutVolume(tmp_path, megabytes=32) as volume:
        with open(volume.path / "synced", "wb") as synced:
            synced.write(b"kept")
            synced.flush()
            assert run(["sync", "-f", str(volume.path)]).returncode == 0
        (volume.path / "loose").write_bytes(b"lost" * 1000)
        volume.cut()
        volume.unmount()
        volume.mount()
        assert (volume.path / "synced").read_bytes() == b"kept"
        loose = volume.path / "loose"
        assert not loose.exists() or loose.read_bytes() == b""


def test_the_corpus_is_where_it_should_be() -> None:
    files = corpus.required()
    assert sum(file.storable for file in files) >= 300
    assert all(file.path.is_file() for file in files)
