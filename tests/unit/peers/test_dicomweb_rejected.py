"""delete_rejected: what a note names for safety is deleted at the server, then the note is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from router.clock import Clock
from router.model.delivery import Result
from router.model.station import Station
from router.peers.dicomweb import DicomwebPeer
from tests.support.key_objects import QUALITY, RETENTION, SAFETY, WORKLIST, key_object
from tests.support.parcels import outcomes, parcels, peer_context
from tests.support.scripted_http import answering
from tests.support.synthetic import Synthetic, instance

IMAGES = [instance(n, study=n // 2, rows=8, columns=8) for n in range(1, 5)]


class Server:
    """Answers each DELETE from a list, the last one for ever; stores everything."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[str] = []

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        body = b""
        if request.command == "DELETE":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        else:
            posted = request.rfile.read(int(request.headers["Content-Length"]))
            status = 200
            uid = next(
                word
                for word in (f"1.2.826.0.1.3680043.10.1.999.7.{n}" for n in (1, 2))
                if word.encode() in posted
            )
            stored = {"00081155": {"vr": "UI", "Value": [uid]}}
            body = json.dumps({"00081199": {"vr": "SQ", "Value": [stored]}}).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/dicom+json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def peer(server: Server, *, delete_rejected: bool = True) -> Iterator[DicomwebPeer]:
    with answering(server.handle) as url:
        station = Station(
            "cloud",
            "dicomweb",
            url=url,
            allow_insecure_http=True,
            send=True,
            iocm=True,
            delete_rejected=delete_rejected,
        )
        made = DicomwebPeer(station, peer_context(Clock()))
        yield made
        made.close()


def paths(found: list[Synthetic]) -> list[str]:
    return [
        f"DELETE /dicom-web/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        f"/instances/{one.sop_instance_uid}"
        for one in found
    ]


POST = "POST /dicom-web/studies"


@pytest.mark.parametrize("code", [SAFETY, WORKLIST])
def test_f24_each_object_of_any_study_is_deleted_and_what_is_gone_already_is_done(code):
    server = Server(204, 404, 200)
    with peer(server) as made:
        (outcome,) = outcomes(made, parcels([key_object(code, IMAGES)]))
    assert outcome.result is Result.DELIVERED
    assert sorted(server.asked[:-1]) == sorted(paths(IMAGES))
    assert server.asked[-1] == POST


@pytest.mark.parametrize(
    ("title", "wants"), [(QUALITY, True), (RETENTION, True), ("113000", True), (SAFETY, False)]
)
def test_f24_nothing_is_deleted_for_another_reason_or_without_being_asked(title, wants):
    server = Server(500)
    with peer(server, delete_rejected=wants) as made:
        (outcome,) = outcomes(made, parcels([key_object(title, IMAGES)]))
    assert outcome.result is Result.DELIVERED
    assert server.asked == [POST]


@pytest.mark.parametrize(
    ("status", "result"), [(503, Result.BUSY), (403, Result.HOLD), (500, Result.BUSY)]
)
def test_f24_where_a_deletion_fails_the_note_waits_too(status, result):
    server = Server(204, status)
    with peer(server) as made:
        (outcome,) = outcomes(made, parcels([key_object(SAFETY, IMAGES)]))
        assert outcome.result is result
        assert "was not deleted" in outcome.message
        assert POST not in server.asked
        server.statuses = [204]
        (outcome,) = outcomes(made, parcels([key_object(SAFETY, IMAGES)]))
    assert outcome.result is Result.DELIVERED


def test_f24_a_note_that_names_no_uid_deletes_nothing():
    wicked = instance(9, rows=8, columns=8, changes={0x00080018: ("UI", "1/../../..")})
    server = Server(204)
    with peer(server) as made:
        (outcome,) = outcomes(made, parcels([key_object(SAFETY, [IMAGES[0], wicked])]))
    assert outcome.result is Result.DEAD
    assert server.asked == []
