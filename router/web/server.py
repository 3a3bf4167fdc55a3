"""The HTTP server of one process: uvicorn over sockets that were bound before, with or without TLS.

Bounded in every direction, so that slow or silent peers cost a slot for seconds only: the TLS
handshake, the time and size of a header, idle time, connections. `router.web.bounds` bounds bodies
and answers. It runs in a thread of the web process until told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from router.web.bounds import HEADER_BYTES

MAX_CONNECTIONS = 64
IDLE_SECONDS = 30
HEADER_SECONDS = 5.0
HANDSHAKE_SECONDS = 5.0
# So long those who are cut off may read what they are told.
LAST_WORDS_SECONDS = 2.0
# Whoever reads less than some 48 KB in so long is hung up on.
READER_SECONDS = 30.0


class HttpServer:
    """Serves one application on one listening socket."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, context: ssl.SSLContext | None = None
    ) -> None:
        """With `context` the listener speaks TLS only."""
        # Else what uvicorn says goes to standard error, with the values of whatever failed.
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            server_header=False,
            proxy_headers=False,
            http=_Bounded,
            ws="none",
            loop="asyncio",
        )
        self._server = _Server(config, context)
        self._listening = listening

    def run(self) -> None:
        """Serve until `stop`; the body of a thread, so that uvicorn leaves signals to the process."""
        asyncio.run(self._server.serve(sockets=[self._listening]))

    def retire(self) -> None:
        """Accept nothing more; `run` returns when what was begun has been answered."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Ask the server to end; what is not answered yet is told 503, and `run` returns soon after."""
        self._server.should_exit = True
        self._server.cut()


class _Server(uvicorn.Server):
    """As uvicorn's own, with a bound on the handshake: its own has the sixty seconds of asyncio.

    It ends in its own time, which can be cut short while it does.
    """

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._context = context
        self._is_cut = False
        self._hurry: Callable[[], object] = lambda: None
        if context is not None:
            context.set_alpn_protocols(["http/1.1"])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self._cut = asyncio.Event()
        self._hurry = partial(loop.call_soon_threadsafe, self._cut.set)
        if self._is_cut:
            self._cut.set()

        def protocol() -> asyncio.Protocol:
            return _Bounded(self.config, self.server_state, self.lifespan.state, loop)

        limits: dict[str, Any] = {}
        if self._context is not None:
            limits = {"ssl": self._context, "ssl_handshake_timeout": HANDSHAKE_SECONDS}
        self.servers = [
            await loop.create_server(protocol, sock=one, backlog=self.config.backlog, **limits)
            for one in sockets or ()
        ]
        self.started = True

    def cut(self) -> None:
        """End what is being answered now; from any thread, at any time."""
        self._is_cut = True
        with suppress(RuntimeError):  # its loop has ended
            self._hurry()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(super().shutdown(sockets))
        cut = asyncio.create_task(self._cut.wait())
        await asyncio.wait({ending, cut}, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if not ending.done():
            tasks = set(self.server_state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait({ending, *tasks}, timeout=LAST_WORDS_SECONDS)
            ending.cancel()


class _Bounded(H11Protocol):
    """A connection that hangs up on whoever does not finish a header in time.

    Also on whoever goes on sending a body after the answer to it was given, or reads none.
    """

    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # a stream: it writes too
        self._deadline = self.loop.call_later(HEADER_SECONDS, transport.abort)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_ease()
        super().connection_lost(exc)
        self._is_read()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(READER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def _is_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        theirs, ours = self.conn.their_state, self.conn.our_state
        is_owed = theirs is h11.IDLE and bool(self.conn.trailing_data[0])
        if not is_owed and not (theirs is h11.SEND_BODY and ours is h11.DONE):
            self._at_ease()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _at_ease(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
