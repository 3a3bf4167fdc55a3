"""What this machine can do at most, measured in the same run: no program is better than these.

Loopback is one process writing 1 MiB at a time to another; an append is synced before the next;
sealing and hashing run on one core.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MEBIBYTE = 1 << 20
_SECONDS = 0.4


def floors(folder: Path) -> Mapping[str, float]:
    """Name (with its unit) → figure; files are written into the folder and removed."""
    seal = AESGCM(AESGCM.generate_key(256))
    small, large = os.urandom(65_536), os.urandom(_MEBIBYTE)
    return {
        "loopback MB/s": _loopback() / 1e6,
        "append 64 KB + fdatasync /s": _append(folder, small),
        "append 0.5 MB + fdatasync /s": _append(folder, large[: _MEBIBYTE // 2]),
        "append 64 KB, no sync /s": _append(folder, small, sync=False),
        "AES-256-GCM 64 KiB MB/s": _rate(lambda: seal.encrypt(bytes(12), small, b""))
        * 65_536
        / 1e6,
        "BLAKE3 1 MiB MB/s": _rate(lambda: blake3(large).digest()) * _MEBIBYTE / 1e6,
    }


def _rate(function: Callable[[], object]) -> float:
    """Calls a second."""
    began, calls = time.monotonic(), 0
    while (passed := time.monotonic() - began) < _SECONDS:
        function()
        calls += 1
    return calls / passed


def _append(folder: Path, block: bytes, *, sync: bool = True) -> float:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        descriptor = file.fileno()

        def one() -> None:
            os.write(descriptor, block)
            if sync:
                os.fdatasync(descriptor)

        return _rate(one)


def _loopback() -> float:
    """Bytes a second through a TCP connection of two processes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = os.fork()
        if child == 0:
            try:
                _pour(listening.getsockname()[1])
            finally:
                os._exit(0)
        sock, _ = listening.accept()
        with sock:
            buffer, total, began = bytearray(_MEBIBYTE), 0, time.monotonic()
            while received := sock.recv_into(buffer):
                total += received
            passed = time.monotonic() - began
    os.waitpid(child, 0)
    return total / passed


def _pour(port: int) -> None:
    block, began = bytes(_MEBIBYTE), time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        while time.monotonic() - began < _SECONDS:
            sock.sendall(block)
