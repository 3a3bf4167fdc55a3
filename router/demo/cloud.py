"""A pretend DICOMweb cloud: a token endpoint and STOW-RS as strict as the strictest service known.

Serves `/v2/studies` and `/token` on one port of the loopback interface, from threads of its own.
Bodies stream: an instance of any size costs 64 KiB. What it is told to do wrong is in
`stow_script` and `token_script`; what it holds is in `stored`.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from router.demo.cloud_http import CloudHandler, CloudServer
from router.demo.cloud_state import CloudState


class Cloud(CloudState):
    """One pretend cloud. As a context manager it runs; `url` and `token_url` say where.

    `verify_assertion` decides about signed assertions; without it a client proves itself with
    `client_secret`. Tokens live `token_seconds`. With `folder` the files are kept there. Port 0
    takes any that is free.
    """

    def __init__(
        self,
        *,
        client_id: str = "edge-a",
        client_secret: str = "demo-secret",
        verify_assertion: Callable[[str], bool] | None = None,
        token_seconds: float = 3600.0,
        require_token: bool = True,
        folder: Path | None = None,
        tls_context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(
            client_id=client_id,
            client_secret=client_secret,
            verify_assertion=verify_assertion,
            token_seconds=token_seconds,
            require_token=require_token,
            folder=folder,
        )
        cloud = self

        class Handler(CloudHandler):
            owner = cloud

        self._server = CloudServer(("127.0.0.1", port), Handler)
        if tls_context is not None:
            self._server.socket = tls_context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls_context is None else "https"
        self._root = f"{scheme}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The DICOMweb service, with its version segment."""
        return f"{self._root}/v2"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self._root}/token"

    def start(self) -> None:
        """Serve until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and drop every connection."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.drop_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
