"""A DICOM station against DCMTK's storescp: what arrives, and its ways to fail."""

from __future__ import annotations

import pytest

from router.clock import Clock
from router.model.delivery import Result
from router.model.station import Limits, Station
from router.peers.dicom import DicomPeer
from tests.conftest import StoreScpFactory
from tests.support.parcels import outcomes, parcels, peer_context, results
from tests.support.storescp import StoreScp
from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    RLE_LOSSLESS,
    instance,
    series,
)

pytestmark = pytest.mark.peers


def peer_of(scp: StoreScp, timeout_seconds: float = 10.0) -> DicomPeer:
    station = Station(
        "dest",
        "dicom",
        ae_title=scp.ae_title,
        host="localhost",
        port=scp.port,
        send=True,
        limits=Limits(timeout_seconds=timeout_seconds),
    )
    return DicomPeer(station, peer_context(Clock()))


def test_p4_every_object_arrives_byte_for_byte(storescp: StoreScpFactory) -> None:
    scp = storescp()
    syntaxes = [
        EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        JPEG_BASELINE,
        JPEG_2000_LOSSLESS,
        RLE_LOSSLESS,
    ]
    images = [
        instance(number, study=1, transfer_syntax_uid=syntax)
        for number, syntax in enumerate(syntaxes * 4)
    ]
    peer = peer_of(scp)
    assert results(peer, parcels(images)) == [Result.DELIVERED] * len(images)
    assert peer.probe().ok
    peer.close()
    received = {one.path.read_bytes()[-1000:] for one in scp.received()}
    assert received == {image.data_set[-1000:] for image in images}
    assert sorted(scp.received_uids()) == sorted(image.sop_instance_uid for image in images)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--refuse", {Result.HOLD, Result.BUSY}),
        ("--abort-after", {Result.RETRY, Result.DELIVERED, Result.UNREACHABLE}),
        ("--abort-during", {Result.RETRY, Result.UNREACHABLE}),
    ],
)
def test_F16_its_ways_to_fail_lose_nothing(
    option: str, expected: set[Result], storescp: StoreScpFactory
) -> None:
    scp = storescp(options=[option])
    images = list(series(3))
    peer = peer_of(scp)
    found = outcomes(peer, parcels(images))
    assert {one.result for one in found} <= expected
    scp.kill()
    assert set(results(peer, parcels(images))) == {Result.UNREACHABLE}
    scp.start(options=[])
    assert results(peer, parcels(images)) == [Result.DELIVERED] * 3
    peer.close()


def test_F17_a_station_that_sleeps_is_given_up_at_the_deadline(storescp: StoreScpFactory) -> None:
    scp = storescp(options=["--sleep-after", "5"])
    peer = peer_of(scp, timeout_seconds=1.0)
    found = results(peer, parcels(list(series(3))))
    peer.close()
    assert found == [Result.DELIVERED, Result.RETRY, Result.UNREACHABLE]


def test_a_station_that_takes_only_implicit_gets_implicit(storescp: StoreScpFactory) -> None:
    scp = storescp(accept="+xi")
    images = list(series(3))
    peer = peer_of(scp)
    assert results(peer, parcels(images)) == [Result.DELIVERED] * 3
    peer.close()
    assert {one.meta.transfer_syntax_uid for one in scp.received()} == {IMPLICIT_VR_LITTLE_ENDIAN}
