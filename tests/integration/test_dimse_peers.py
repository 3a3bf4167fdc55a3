"""DCMTK and pynetdicom as senders to our provider and as destinations of our user."""

from __future__ import annotations

import time

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, evt

from router.dimse import client
from router.errors import Rejected, Undeliverable, Unreachable
from tests.support.dimse_provider import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    run,
    running,
    storescp,
)

pytestmark = pytest.mark.peers
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def data_set(number: int = 1, size: int = 100_000) -> Dataset:
    made = Dataset()
    made.SOPClassUID = CT
    made.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number}"
    made.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.100"
    made.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.200"
    made.PatientID = "P1"
    made.Modality = "CT"
    made.add_new(0x7FE00010, "OW", bytes(size))
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.UID(EXPLICIT)
    made.file_meta.MediaStorageSOPClassUID = CT
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def encoded(made: Dataset) -> bytes:
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(buffer, made)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 21):
        data_set(number).save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    return tmp_path


def open_to(port: int, contexts=((VERIFICATION, IMPLICIT), (CT, EXPLICIT)), seconds=3.0):
    return client.connect(
        "127.0.0.1",
        port,
        "US",
        "DEST",
        contexts,
        timeout_seconds=seconds,
        max_pdu_bytes=16384,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("echoscu", "-aec", "ROUTER"),
        ("storescu", "-aec", "ROUTER", "+sd", "-R"),
        ("storescu", "-aec", "ROUTER", "+sd", "-pdu", "131072"),
        ("storescu", "-aec", "ROUTER", "+sd", "-xi"),
        ("storescu", "-aec", "ROUTER", "+sd", "--max-send-pdu", "4096"),
        ("dcmsend", "-aec", "ROUTER", "+sd", "+r", "-nh", "-dn"),
        ("dcmsend", "-aec", "ROUTER", "+sd", "+ma", "--max-send-pdu", "131072"),
    ],
)
def test_dcmtk_senders_pass(words, folder):
    with running() as provider:
        tail = ("127.0.0.1", provider.port)
        done = run(*words, *tail, *(() if words[0] == "echoscu" else (folder,)))
        assert done.returncode == 0, done.stderr
        expected = 0 if words[0] == "echoscu" else 20
        assert len(provider.sink.data_sets) == expected
        if expected and "-xi" not in words:
            assert sorted(provider.sink.data_sets) == sorted(
                encoded(data_set(number)) for number in range(1, 21)
            )
        provider.wait(lambda: provider.server.counts().open == 0)
        assert provider.server.counts().aborted == 0


def test_a_sender_that_aborts_after_its_image_loses_nothing(folder):
    with running() as provider:
        run("storescu", "-aec", "ROUTER", "--abort", "127.0.0.1", provider.port, folder / "1.dcm")
        provider.wait_for_no_connection()
        assert len(provider.sink.data_sets) == 1
        assert provider.server.counts().aborted == 1


@pytest.mark.parametrize("pdu", [(), ("-pdu", 4096), ("-pdu", 131072)])
def test_storescp_receives_exactly_what_was_given(tmp_path, pdu):
    made = [encoded(data_set(number, size)) for number, size in ((1, 2), (2, 70_000), (3, 1 << 21))]
    with storescp("+B", *pdu, folder=tmp_path) as port:
        with open_to(port) as association:
            assert association.accepted(CT) == (EXPLICIT,)
            assert association.echo() == 0
            for number, data in enumerate(made, 1):
                chunks = [data[at : at + 65_000] for at in range(0, len(data), 65_000)]
                uid = data_set(number).SOPInstanceUID
                length = len(data) if number % 2 else None
                answer = association.store(CT, uid, EXPLICIT, chunks, 0, length=length)
                assert answer.status == 0
            assert association.is_open()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert sorted(encoded(pydicom.dcmread(file)) for file in files) == sorted(made)


def test_storescp_that_refuses_aborts_or_sleeps(tmp_path):
    data = encoded(data_set())
    uid = data_set().SOPInstanceUID
    with storescp("--refuse", folder=tmp_path) as port:
        with pytest.raises(Rejected, match="DEST at 127.0.0.1.*rejected by the service user"):
            open_to(port)
    for option in ("--abort-after", "--abort-during"):
        with storescp(option, folder=tmp_path) as port:
            association = open_to(port)
            with pytest.raises(Unreachable, match="aborted|closed|reset"):
                association.store(CT, uid, EXPLICIT, [data], 0)
                association.store(CT, uid, EXPLICIT, [data], 0)
            assert association.is_closed
    with storescp("--sleep-during", 5, folder=tmp_path) as port:
        association = open_to(port, seconds=1.0)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer to C-STORE within 1 s"):
            association.store(CT, uid, EXPLICIT, [data], 0)
        assert time.monotonic() - began < 3.0


def test_storescp_with_a_narrow_list_leaves_contexts_out(tmp_path):
    with storescp("+xi", folder=tmp_path) as port:
        contexts = ((CT, EXPLICIT), (CT, JPEG_BASELINE), (CT, IMPLICIT))
        with open_to(port, contexts) as association:
            assert association.accepted(CT) == (IMPLICIT,)
            assert association.accepted("1.2.3") == ()
            with pytest.raises(Undeliverable, match="no presentation context"):
                association.store(CT, "1.2", JPEG_BASELINE, [b""], 0)
            with pytest.raises(Undeliverable, match="Verification"):
                association.echo()


def test_pynetdicom_sends_and_receives():
    received = []

    def handle(event):
        received.append((event.request.AffectedSOPInstanceUID, event.encoded_dataset(False)))
        return 0xB007

    made = data_set()
    with running() as provider:
        sender = AE("PYNETDICOM")
        sender.add_requested_context(CT, [IMPLICIT, EXPLICIT])
        sender.add_requested_context(VERIFICATION)
        association = sender.associate("127.0.0.1", provider.port, ae_title="ROUTER")
        assert association.is_established
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(made).Status == 0
        association.release()
        assert provider.sink.data_sets == [encoded(made)]
        assert provider.sink.requests[0].transfer_syntax_uid == EXPLICIT
    receiver = AE("DEST")
    receiver.add_supported_context(CT, EXPLICIT)
    receiver.add_supported_context(VERIFICATION)
    server = receiver.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)]
    )
    try:
        with open_to(server.socket.getsockname()[1]) as association:
            assert association.peer_version_name.startswith("PYNETDICOM")
            data = encoded(made)
            answer = association.store(CT, made.SOPInstanceUID, EXPLICIT, [data], 1)
            assert answer.status == 0xB007
        assert received == [(made.SOPInstanceUID, data)]
    finally:
        server.shutdown()


def test_extended_negotiation_and_user_identity_are_answered():
    from pynetdicom.pdu_primitives import (
        AsynchronousOperationsWindowNegotiation,
        SOPClassExtendedNegotiation,
        UserIdentityNegotiation,
    )

    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CT
    extended.service_class_application_information = b"\x02\0\0\0\0\0"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 5
    for positive in (False, True):
        identity = UserIdentityNegotiation()
        identity.user_identity_type = 1
        identity.primary_field = b"someone"
        identity.positive_response_requested = positive
        with running() as provider:
            sender = AE("PYNETDICOM")
            sender.add_requested_context(CT, EXPLICIT)
            association = sender.associate(
                "127.0.0.1", provider.port, ext_neg=[extended, window, identity]
            )
            assert association.is_established
            assert association.acceptor.sop_class_extended == {CT: b"\x02\0\0\0\0\0"}
            assert association.acceptor.asynchronous_operations == (1, 1)
            assert (association.acceptor.user_identity is not None) == positive
            association.release()
