"""Searching a DICOM station whose peer floods, refuses, stalls or talks nonsense."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from router.clock import Clock
from router.dicom.keys import parse_keys
from router.errors import Busy, DeliveryError, Rejected, Undeliverable, Unreachable
from router.model.query import Query
from router.model.station import Limits, Station
from router.peers.dicom import DicomPeer
from tests.support.parcels import peer_context

# pynetdicom leaves its sockets to the garbage collector when an association is aborted.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KEYS = ("PatientName=Y*", "StudyInstanceUID", "StudyDescription")


@contextmanager
def answering(
    handler: Callable,
    *,
    offered: str = StudyRootQueryRetrieveInformationModelFind,
    timeout: float = 20.0,
) -> Iterator[DicomPeer]:
    """A peer of ours for a provider that answers C-FIND by this handler."""
    provider = AE(ae_title="PACS")
    provider.add_supported_context(offered)
    server = provider.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handler)]
    )
    port = server.socket.getsockname()[1]
    station = Station(
        "pacs",
        "dicom",
        ae_title="PACS",
        host="127.0.0.1",
        port=port,
        query_retrieve=True,
        limits=Limits(timeout_seconds=timeout),
    )
    peer = DicomPeer(station, peer_context(Clock()))
    try:
        yield peer
    finally:
        peer.close()
        server.shutdown()


def study(number: int) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.PatientName = "Yamada"
    found.StudyInstanceUID = f"1.2.{number}"
    return found


def query(limit: int = 100, seconds: float = 20.0) -> Query:
    return Query("STUDY", parse_keys(KEYS), limit, seconds)


def never() -> bool:
    return False


def test_at_the_cap_c_cancel_is_sent_and_honoured() -> None:
    cancelled = threading.Event()

    def flood(event):
        for number in range(1_000_000):
            if event.is_cancelled:
                cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, study(number)

    with answering(flood) as peer:
        search = peer.find(query(limit=5), never)
        found = [one[0x0020000D].text for one in search]
    assert found == [f"1.2.{number}" for number in range(5)]
    assert cancelled.wait(5)
    assert search.ending.is_truncated
    assert "cancelled" in search.ending.words
    assert search.ending.unsupported == frozenset({0x00081030})


def test_a_wish_to_cancel_ends_a_search_that_is_silent() -> None:
    asked = threading.Event()
    wish = threading.Event()

    def silent(event):
        yield 0xFF00, study(1)
        asked.set()
        while not event.is_cancelled:
            if wish.wait(0.01) and event.is_cancelled:
                break
        yield 0xFE00, None

    with answering(silent) as peer:
        search = peer.find(query(), wish.is_set)
        found = []
        for one in search:
            found.append(one)
            assert asked.wait(5)
            wish.set()
    assert len(found) == 1
    assert search.ending.is_truncated


def test_a_peer_that_does_not_stop_is_left() -> None:
    def deaf(event):  # noqa: ARG001 - the handler's signature
        for number in range(1_000_000):
            yield 0xFF00, study(number)

    with answering(deaf) as peer:
        search = peer.find(query(limit=3), never)
        assert len(list(search)) == 3
    assert search.ending.is_truncated
    assert "hung up" in search.ending.words


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (0xA700, Busy, "0xA700 out of resources"),
        (0xA900, Rejected, "0xA900"),
        (0x0122, Rejected, "SOP class not supported"),
        (0xC001, DeliveryError, "0xC001"),
    ],
)
def test_a_refusal_is_told_with_its_status(
    status: int, error: type[DeliveryError], said: str
) -> None:
    def refuse(event):  # noqa: ARG001 - the handler's signature
        yield status, None

    with answering(refuse) as peer, pytest.raises(error, match=said):
        list(peer.find(query(), never))


def test_a_warning_that_more_exist_is_a_cut_and_no_failure() -> None:
    def limited(event):  # noqa: ARG001 - the handler's signature
        yield 0xFF01, study(1)
        yield 0xB001, None

    with answering(limited) as peer:
        search = peer.find(query(), never)
        assert len(list(search)) == 1
    assert search.ending.is_truncated


def test_a_peer_that_never_answers_costs_no_more_than_the_deadline() -> None:
    gone = threading.Event()

    def stall(event):  # noqa: ARG001 - the handler's signature
        gone.wait(20)
        yield 0x0000, None

    with answering(stall) as peer:
        with pytest.raises(Unreachable, match="not over in time"):
            list(peer.find(query(seconds=0.5), never))
        gone.set()
    with answering(stall, timeout=0.4) as peer:
        gone.clear()
        with pytest.raises(Unreachable, match="no answer"):
            list(peer.find(query(), never))
        gone.set()


def test_a_station_without_the_service_says_so() -> None:
    with answering(lambda _: iter(()), offered=Verification) as peer:
        with pytest.raises(Undeliverable, match="no such service"):
            list(peer.find(query(), never))
