"""Having a station send to us: counts as it gives them, its refusals in words, a bounded end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from router.clock import Clock
from router.errors import Rejected, Undeliverable, Unreachable
from router.model.query import Retrieval
from router.model.station import Station
from router.peers.dicom import DicomPeer
from tests.support.parcels import peer_context

# pynetdicom leaves its sockets to the garbage collector when an association is aborted.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
REFUSED_UID = "1.2.3"


def never() -> bool:
    return False


def wanted(seconds: float = 20.0) -> Retrieval:
    return Retrieval("1.2", "", seconds)


@contextmanager
def moving(
    handler: Callable, offered: str = StudyRootQueryRetrieveInformationModelMove
) -> Iterator[DicomPeer]:
    """A peer of ours for a provider that answers C-MOVE so, and is the destination besides."""
    provider = AE(ae_title="PACS")
    provider.add_supported_context(offered)
    provider.add_supported_context(CTImageStorage)

    def store(event: evt.Event) -> int:
        refused = event.request.AffectedSOPInstanceUID == REFUSED_UID
        return 0xA700 if refused else 0x0000

    handlers = [(evt.EVT_C_MOVE, handler), (evt.EVT_C_STORE, store)]
    server = provider.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    server.port = server.socket.getsockname()[1]
    station = Station(
        "pacs", "dicom", ae_title="PACS", host="127.0.0.1", port=server.port, query_retrieve=True
    )
    peer = DicomPeer(station, peer_context(Clock()))
    try:
        yield peer
    finally:
        peer.close()
        server.shutdown()


def image(sop_instance_uid: str) -> Dataset:
    made = Dataset()
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = sop_instance_uid
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return made


def test_counts_and_failed_instances_are_those_of_the_station() -> None:
    def three(event: evt.Event) -> Iterator[object]:
        asked.append((event.move_destination, event.identifier.StudyInstanceUID))
        port = event.assoc.acceptor.port
        yield ("127.0.0.1", port, {"contexts": [build_context(CTImageStorage)]})
        yield 3
        for uid in ("1.2.1", REFUSED_UID, "1.2.2"):
            yield 0xFF00, image(uid)

    asked: list[tuple[str, str]] = []
    with moving(three) as peer:
        *pending, last = peer.retrieve(wanted(), never)
    assert asked == [("EDGE_A", "1.2")]
    assert [one.remaining for one in pending] == [2, 1, 0]
    assert (last.status, last.completed, last.failed) == (0xB000, 2, 1)
    assert last.failed_uids == (REFUSED_UID,)


@pytest.mark.parametrize(
    ("series", "instance", "level"), [("", "", "STUDY"), ("1.2.1", "", "SERIES"), ("1.2.1", "1.2.1.7", "IMAGE")]
)  # fmt: skip
def test_f84_what_is_named_decides_the_level(series: str, instance: str, level: str) -> None:
    asked: list[tuple[str, ...]] = []

    def none_of_it(event: evt.Event) -> Iterator[object]:
        named = event.identifier
        keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        asked.append(
            (named.QueryRetrieveLevel, *(str(getattr(named, key)) for key in keys if key in named))
        )
        port = event.assoc.acceptor.port
        yield ("127.0.0.1", port, {"contexts": [build_context(CTImageStorage)]})
        yield 0

    with moving(none_of_it) as peer:
        list(peer.retrieve(Retrieval("1.2", series, 20.0, instance), never))
    assert asked == [(level, *filter(None, ("1.2", series, instance)))]


def test_f62_an_unknown_destination_is_told_with_the_cure() -> None:
    def unknown(event: evt.Event) -> Iterator[object]:  # noqa: ARG001 - the handler's signature
        yield (None, None)

    with moving(unknown) as peer, pytest.raises(Rejected, match=r"0xA801.*enter EDGE_A there"):
        list(peer.retrieve(wanted(), never))


def test_a_station_that_never_answers_is_left_at_the_deadline_or_on_a_wish() -> None:
    gone = threading.Event()

    def silent(event: evt.Event) -> Iterator[object]:  # noqa: ARG001 - the handler's signature
        gone.wait(20)
        yield (None, None)

    with moving(silent) as peer:
        with pytest.raises(Unreachable, match="not over in time"):
            list(peer.retrieve(wanted(seconds=0.4), never))
        assert list(peer.retrieve(wanted(), lambda: True)) == []
        gone.set()


def test_a_station_without_the_service_says_so() -> None:
    with (
        moving(lambda _: iter(()), offered=StudyRootQueryRetrieveInformationModelFind) as peer,
        pytest.raises(Undeliverable, match="no such service"),
    ):
        list(peer.retrieve(wanted(), never))
