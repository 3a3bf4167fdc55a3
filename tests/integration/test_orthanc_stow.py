"""A DICOMweb station against Orthanc with its DICOMweb plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.clock import Clock
from router.model.delivery import Result
from router.model.station import Limits, Station
from router.peers.dicomweb import DicomwebPeer
from tests.conftest import OrthancFactory
from tests.support.orthanc import Orthanc
from tests.support.parcels import outcomes, parcel, parcels, peer_context, results
from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    NATIVE,
    instance,
    series,
)

pytestmark = pytest.mark.peers
D, R, X = Result.DELIVERED, Result.RETRY, Result.DEAD


@pytest.fixture
def server(orthanc: OrthancFactory) -> Orthanc:
    return orthanc()


@pytest.fixture(params=["orthanc", "generic"])
def peer(request: pytest.FixtureRequest, server: Orthanc) -> Iterator[DicomwebPeer]:
    station = Station(
        "archive",
        "dicomweb",
        url=server.dicomweb_url,
        profile=request.param,
        allow_insecure_http=True,
        send=True,
        limits=Limits(batch_instances=8),
    )
    made = DicomwebPeer(station, peer_context(Clock()))
    yield made
    made.close()


def test_f85_studies_arrive_and_again_is_no_fault(server: Orthanc, peer: DicomwebPeer) -> None:
    assert peer.probe().ok
    images = list(series(20, rows=16, columns=16))
    assert results(peer, parcels(images)) == [D] * 20
    assert server.count() == 20
    assert results(peer, parcels(images)) == [D] * 20
    assert server.count() == 20
    for image in images[:3]:
        assert server.file(image.sop_instance_uid).endswith(image.data_set[-512:])


def test_f85_every_transfer_syntax_arrives(server: Orthanc, peer: DicomwebPeer) -> None:
    images = [
        instance(n, rows=16, columns=16, transfer_syntax_uid=syntax)
        for n, syntax in enumerate([*NATIVE, JPEG_2000_LOSSLESS])
    ]
    assert results(peer, parcels(images)) == [D] * 5
    assert server.count() == 5
    native = server.file(images[0].sop_instance_uid)
    assert EXPLICIT_VR_LITTLE_ENDIAN.encode() + b"\0" in native[:400]


def test_F18_an_unreadable_object_does_not_hold_up_the_others(
    server: Orthanc, peer: DicomwebPeer
) -> None:
    images = list(series(4, rows=16, columns=16))
    sent = parcels(images)
    broken = replace(images[2], data_set=b"\x08\x00\x05\x00CS\xff\xffno data set at all")
    sent[2] = parcel(broken, 3)
    found = [one.result for one in outcomes(peer, sent)]
    assert [found[0], found[1], found[3]] == [D, D, D]
    assert found[2] in (R, X)
    assert server.count() == 3


def test_F20_a_server_that_goes_and_comes_back(server: Orthanc, peer: DicomwebPeer) -> None:
    images = list(series(2, rows=16, columns=16))
    assert results(peer, parcels(images[:1])) == [D]
    server.kill()
    assert set(results(peer, parcels(images))) <= {Result.UNREACHABLE, R}
    assert not peer.probe().ok
    server.start()
    assert results(peer, parcels(images)) == [D, D]
