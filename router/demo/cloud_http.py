"""The HTTP face of a pretend cloud: `/v2/studies` (POST, and GET for one page) and `/token`."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import time
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from router.demo.cloud_faults import Fault
from router.demo.cloud_state import CloudState
from router.demo.cloud_store import BadRequest, received_parts

_BOUNDARY: Final = re.compile(r';\s*boundary="?([^";]{1,70})"?', re.IGNORECASE)
_TYPE: Final = re.compile(r';\s*type="application/dicom"', re.IGNORECASE)
_JSON: Final = "application/dicom+json"
_SOCKET_SECONDS: Final = 30.0


class CloudServer(http.server.ThreadingHTTPServer):
    """One thread for each connection; `drop_connections` ends them all."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[CloudHandler]) -> None:
        self._open: set[Any] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be dropped."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Close every connection there is."""
        for request in tuple(self._open):
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is a part of the play."""


class CloudHandler(http.server.BaseHTTPRequestHandler):
    """One connection; a subclass names the cloud it belongs to."""

    owner: CloudState
    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_SECONDS
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        """QIDO-RS: one page of studies."""
        self.owner.counted("search")
        url = urlsplit(self.path)
        if url.path != "/v2/studies":
            return self._text(404, "no such resource")
        if not self._may_pass():
            return None
        limit = parse_qs(url.query).get("limit", ["100"])[0]
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            return self._text(400, "limit must be from 1 to 200")
        studies = dict.fromkeys(found.study_instance_uid for found in self.owner.stored())
        found = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in studies][: int(limit)]
        if not found:
            return self._answer(204, b"", "")
        return self._answer(200, json.dumps(found).encode(), _JSON)

    def do_POST(self) -> None:
        """STOW-RS, or a request for a token."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            if urlsplit(self.path).path == "/token":
                self._give_token()
            else:
                self._store()

    def _store(self) -> None:
        owner = self.owner
        owner.counted("stow")
        fault = owner.stow_script.next()
        if fault.revoke:
            owner.revoke_tokens()
        length = int(self.headers.get("Content-Length", "0"))
        if fault.early:
            self.close_connection = True
            return self._as_told(fault, fault.status or 503, b"", "text/plain")
        if not re.fullmatch(r"/v2/studies(/[0-9.]+)?", self.path):
            return self._refuse(404, "no such resource", length)
        if not self._may_pass(length):
            return None
        content_type = self.headers.get("Content-Type", "")
        boundary = _BOUNDARY.search(content_type)
        if not content_type.startswith("multipart/related") or boundary is None:
            return self._refuse(415, "multipart/related is needed", length)
        if "start=" in content_type or not _TYPE.search(content_type):
            return self._refuse(400, "parameters of the content type", length)
        parts = received_parts(self.rfile, length, boundary[1].encode(), owner.folder)
        try:
            status, found = owner.take(parts, fault)
        except BadRequest as error:
            self.close_connection = True
            return self._text(error.status, str(error))
        body = json.dumps(found).encode() if found else b""
        return self._as_told(fault, status, body, _JSON)

    def _give_token(self) -> None:
        owner = self.owner
        owner.counted("token")
        fault = owner.token_script.next()
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
        fields = {name: values[0] for name, values in form.items()}
        if fields.get("grant_type") != "client_credentials":
            status, found = 400, {"error": "unsupported_grant_type"}
        elif not owner.is_known_client(fields, self.headers.get("Authorization", "")):
            status, found = 401, {"error": "invalid_client", "error_description": self.path}
        else:
            token, seconds = owner.new_token()
            status, found = 200, {"access_token": token, "token_type": "Bearer"}
            found |= {"expires_in": seconds}  # type: ignore[dict-item]
        self._as_told(fault, status, json.dumps(found).encode(), "application/json")

    def _may_pass(self, length: int = 0) -> bool:
        accept = self.headers.get("Accept", "")
        if not self.owner.is_authorised(self.headers.get("Authorization", "")):
            self.owner.counted("unauthorised")
            self._refuse(401, "a token is needed", length)
            return False
        if _JSON not in accept:
            self._refuse(406, "only application/dicom+json is answered", length)
            return False
        return True

    def _refuse(self, status: int, message: str, length: int) -> None:
        # read what was sent, or the client may never see the answer
        while length > 0:
            block = self.rfile.read(min(length, 65536))
            length = length - len(block) if block else 0
        self._text(status, message)

    def _as_told(self, fault: Fault, status: int, body: bytes, content_type: str) -> None:
        if fault.drop:
            self.close_connection = True
            return
        if fault.status is not None and fault.body is None:
            body = body if fault.status // 100 == 2 else b""
        self._answer(
            fault.status or status,
            body if fault.body is None else fault.body,
            fault.content_type or content_type,
            fault,
        )

    def _text(self, status: int, message: str) -> None:
        self._answer(status, message.encode(), "text/plain")

    def _answer(
        self, status: int, body: bytes, content_type: str, fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        if content_type and body:
            self.send_header("Content-Type", content_type)
        for name, value in fault.headers if fault is not None else ():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is None or not fault.drip_seconds:
            self.wfile.write(body)
            return
        for byte in body:
            self.wfile.write(bytes((byte,)))
            time.sleep(fault.drip_seconds)
