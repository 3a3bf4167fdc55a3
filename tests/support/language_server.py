"""yaml-language-server, the one behind most YAML editors, over standard input and output.

Installed by `.ci/peers` into `.venv/node` (npm, a fixed version). One server takes many documents.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.process import PROJECT

SERVER = PROJECT / ".venv" / "node" / "node_modules" / ".bin" / "yaml-language-server"
SECONDS = 30.0


def is_installed() -> bool:
    """Whether the server and Node.js are there."""
    return SERVER.exists() and shutil.which("node") is not None


class LanguageServer:
    """A server with one schema for every file of a workspace folder."""

    def __init__(self, workspace: Path, schema: Path) -> None:
        self._workspace = workspace
        self._number = 0
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._settings = {
            "yaml": {
                "schemas": {schema.as_uri(): ["*.yaml"]},
                "schemaStore": {"enable": False},
                "validate": True,
                "completion": True,
                "hover": True,
                "format": {"enable": False},
            },
            "http": {},
        }
        self._process = subprocess.Popen(
            [str(SERVER), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=workspace
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        capabilities = {
            "textDocument": {"publishDiagnostics": {}, "completion": {}, "hover": {}},
            "workspace": {"configuration": True, "didChangeConfiguration": {}},
        }
        self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": workspace.as_uri(),
                "capabilities": capabilities,
                "workspaceFolders": [{"uri": workspace.as_uri(), "name": "site"}],
            },
        )
        self._send({"method": "initialized", "params": {}})
        self._send(
            {"method": "workspace/didChangeConfiguration", "params": {"settings": self._settings}}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def diagnostics(self, texts: list[str]) -> list[list[tuple[int, int, str]]]:
        """(line, column, message) from 1, for a new document of each text."""
        addresses = [self.open(text) for text in texts]
        found: dict[str, list[tuple[int, int, str]]] = {}
        while not found.keys() >= set(addresses):
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics":
                found[message["params"]["uri"]] = [
                    (
                        each["range"]["start"]["line"] + 1,
                        each["range"]["start"]["character"] + 1,
                        each["message"],
                    )
                    for each in message["params"]["diagnostics"]
                ]
        return [found[address] for address in addresses]

    def open(self, text: str) -> str:
        """A new document; its address."""
        self._number += 1
        uri = (self._workspace / f"d{self._number}.yaml").as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    def request(self, method: str, params: dict[str, Any]) -> Any:
        """The result of a request."""
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == number and "method" not in message:
                return message.get("result")

    def _next(self) -> dict[str, Any]:
        """The next message that is not a question of the server's; those are answered."""
        while True:
            message = self._answers.get(timeout=SECONDS)
            if "id" in message and "method" in message:
                result: Any = None
                if message["method"] == "workspace/configuration":
                    result = [
                        self._settings.get(item.get("section", ""), {})
                        for item in message["params"]["items"]
                    ]
                self._send({"id": message["id"], "result": result})
                continue
            return message

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while True:
            length = 0
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                return
            self._answers.put(json.loads(stream.read(length)))
