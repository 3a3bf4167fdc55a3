"""The HTTP server of one process: uvicorn over sockets that were bound before.

Bounded: headers, connections, idle time. It runs in a thread of the web process until told to stop.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette

MAX_CONNECTIONS = 64
IDLE_SECONDS = 30
HEADER_BYTES = 32 * 1024


class HttpServer:
    """Serves one application on one listening socket."""

    def __init__(self, app: Starlette, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            server_header=False,
            http="h11",
            ws="none",
            loop="asyncio",
        )
        self._server = uvicorn.Server(config)
        self._listening = listening

    def run(self) -> None:
        """Serve until `stop`; the body of a thread, so that uvicorn leaves signals to the process."""
        asyncio.run(self._server.serve(sockets=[self._listening]))

    def stop(self) -> None:
        """Ask the server to end; `run` returns soon after."""
        self._server.should_exit = True
