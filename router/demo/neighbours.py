"""The pretend neighbours that speak DIMSE: a CT that sends, an archive that drops one association."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterable, Iterator

from router.clock import Clock
from router.demo.images import Image
from router.dimse.client import connect
from router.dimse.server import Calling, Handlers, Server, StoreAnswer, StoreRequest
from router.model.instance import Source
from router.model.listener import Listener
from router.model.status import OUT_OF_RESOURCES, SUCCESS
from router.threads import Threads

TIMEOUT_SECONDS = 10.0
MAX_PDU_BYTES = 262144


def listening_socket() -> socket.socket:
    """A socket bound to a free port of the loopback interface."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


def free_port() -> int:
    """A port that nobody listens on just now."""
    with listening_socket() as bound:
        return int(bound.getsockname()[1])


class PretendArchive:
    """Takes every instance, keeps its digest; can be told to drop its associations once."""

    def __init__(self, threads: Threads, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock
        self._socket = listening_socket()
        self.port = int(self._socket.getsockname()[1])
        self._listener = Listener("pretend-archive", "dimse", "127.0.0.1", self.port, ("PACS",))
        self._lock = threading.Lock()
        self._digests: dict[str, str] = {}
        self._drop_in = 0
        self._dropping = threading.Event()
        self._server = self._start()

    def drop_after(self, images: int) -> None:
        """Drop every association when so many more images have arrived, once."""
        with self._lock:
            self._drop_in = images

    def received(self) -> dict[str, str]:
        """SOP Instance UID → SHA-256 of the data set, of all that was taken."""
        with self._lock:
            return dict(self._digests)

    def has_dropped(self) -> bool:
        """Whether the associations were dropped."""
        return self._dropping.is_set()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _start(self) -> Server:
        handlers = Handlers(self._authorise, self._store)
        server = Server(self._listener, self._socket, handlers, self._threads, self._clock)
        server.start()
        return server

    def _authorise(self, calling: Calling) -> Source:
        return Source(
            calling.listener, calling.calling_ae_title, calling.called_ae_title, calling.address
        )

    def _store(self, request: StoreRequest, chunks: Iterator[memoryview]) -> StoreAnswer:
        digest = hashlib.sha256()
        for view in chunks:
            digest.update(view)
        with self._lock:
            self._drop_in -= 1
            drop = self._drop_in == 0
            if not drop:
                self._digests[request.sop_instance_uid] = digest.hexdigest()
        if drop:
            self._threads.start("archive drops", self._drop)
            self._dropping.wait(TIMEOUT_SECONDS)
            return StoreAnswer(OUT_OF_RESOURCES)
        return StoreAnswer(SUCCESS)

    def _drop(self) -> None:
        old = self._server
        self._threads.start("archive back", self._come_back)
        old.close(keep_socket=True)

    def _come_back(self) -> None:
        self._clock.wait(threading.Event(), 0.5)
        self._server = self._start()
        self._dropping.set()


class PretendScanner:
    """A modality: opens an association, sends a study, hears the answers."""

    def __init__(self, ae_title: str, port: int, called_ae_title: str) -> None:
        self._ae_title = ae_title
        self._port = port
        self._called_ae_title = called_ae_title

    def send(self, images: Iterable[Image]) -> dict[str, str]:
        """Send them; SOP Instance UID → SHA-256 of each data set that was answered 0x0000."""
        images = tuple(images)
        contexts = sorted({(image.sop_class_uid, image.transfer_syntax_uid) for image in images})
        acknowledged: dict[str, str] = {}
        association = connect(
            "127.0.0.1",
            self._port,
            self._ae_title,
            self._called_ae_title,
            contexts,
            timeout_seconds=TIMEOUT_SECONDS,
            max_pdu_bytes=MAX_PDU_BYTES,
        )
        for image in images:
            response = association.store(
                image.sop_class_uid,
                image.sop_instance_uid,
                image.transfer_syntax_uid,
                [image.data_set],
                0,
            )
            if response.status == SUCCESS:
                digest = hashlib.sha256(image.data_set).hexdigest()
                acknowledged[image.sop_instance_uid] = digest
        association.release()
        return acknowledged
