"""A DICOMweb archive of a few objects, which does with each what a test says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from router.dicomweb.multipart import Part, RelatedBody
from tests.support.synthetic import Synthetic


class Cloud:
    """Lists and gives its images; what it does with one depends on its number, see `behave`."""

    def __init__(self, images: list[Synthetic]) -> None:
        self.images = images
        self.asked: list[str] = []
        self.behave: dict[int, str | int] = {}
        self.released = threading.Event()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(request.path)
        if path.endswith("/instances"):
            keys = parse_qs(urlsplit(request.path).query)
            listed = [
                {
                    "0020000D": {"vr": "UI", "Value": [one.study_instance_uid]},
                    "0020000E": {"vr": "UI", "Value": [one.series_instance_uid]},
                    "00080018": {"vr": "UI", "Value": [one.sop_instance_uid]},
                }
                for one in self.images
                if one.study_instance_uid in path
                and keys.get("SOPInstanceUID", [one.sop_instance_uid]) == [one.sop_instance_uid]
            ]
            page = listed if "offset=0" in request.path else []
            self.answer(request, 200, "application/dicom+json", json.dumps(page).encode())
            return
        assert "transfer-syntax=*" in request.headers["Accept"]
        uid = path.rsplit("/", 1)[1]
        number = [one.sop_instance_uid for one in self.images].index(uid)
        what = self.behave.get(number, "whole")
        if isinstance(what, int):
            self.answer(request, what, "text/plain", b"DOE^JOHN is not here")
            return
        if what == "stall":
            self.released.wait(20)
            return
        data = self.images[number - 1 if what == "other" else number].part10()
        body = RelatedBody([Part(len(data), lambda: iter([data]))])
        octets = b"".join(bytes(chunk) for chunk in body.chunks())
        if what == "cut":
            octets = octets[:-20]
        elif what == "junk":
            octets = octets.replace(data, b"<html>no</html>")
        self.answer(request, 200, body.content_type(), octets)

    def answer(
        self, request: BaseHTTPRequestHandler, status: int, content_type: str, body: bytes
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
