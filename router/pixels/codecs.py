"""Codecs: child processes that decode, encode and draw frames, few of them, started when first used.

A codec works on bytes of strangers. So it works in a child without secrets, files or core dumps, with
bounded memory and time: what it does wrong costs one frame. A child ends when it idles, when its
parent is gone, and after anything unusual; the next request starts another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from router.dicom.frames import PixelFacts
from router.errors import BadDataset, Busy, RouterError, Undeliverable
from router.pixels.channel import read_message, write_message
from router.pixels.limits import MAX_SECONDS
from router.pixels.syntaxes import EXTRA, is_installed

CHILDREN: Final = 2
_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from router.pixels.child import main; main()"
)


class Codecs:
    """The codec children of one process. Shared by threads; one frame a child at a time."""

    def __init__(self, children: int = CHILDREN) -> None:
        self._free = threading.Semaphore(children)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []

    def convert(
        self, frame: bytes, source_uid: str, target_uid: str, facts: PixelFacts
    ) -> tuple[bytes, PixelFacts]:
        """A frame in another transfer syntax, and what is true of its pixels then.

        An uncompressed frame is little endian and colour-by-pixel. Raises BadDataset where the
        frame cannot be decoded or encoded, within the limits.
        """
        header = {"do": "convert", "from": source_uid, "to": target_uid, "facts": asdict(facts)}
        answer, data = self._ask(header, (frame,))
        return data, PixelFacts(**answer["facts"])

    def draw(
        self,
        header: bytes,
        frame: bytes,
        syntaxes: tuple[str, str],
        facts: PixelFacts,
        wish: dict[str, Any],
    ) -> bytes:
        """A frame as an image file, see `draw.drawn`; `syntaxes` are those of header and frame."""
        asked = {
            "do": "draw",
            "header": len(header),
            "syntaxes": syntaxes,
            "facts": asdict(facts),
            "wish": wish,
        }
        return self._ask(asked, (header, frame))[1]

    def close(self) -> None:
        """End the children that idle; one at work ends with its frame."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _ask(self, header: dict[str, Any], parts: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
        if not is_installed():
            raise Undeliverable(EXTRA)
        if not self._free.acquire(timeout=MAX_SECONDS):
            raise Busy("all codecs are at work")
        try:
            child = self._take()
            try:
                answer, data = child.ask(header, parts)
            except (OSError, EOFError):
                raise BadDataset(f"its pixels cannot be used: {child.end()}") from None
            except BaseException:
                child.end()
                raise
            with self._lock:
                self._idle.append(child)
        finally:
            self._free.release()
        if "error" in answer:
            raise BadDataset(f"its pixels cannot be used: {answer['error']}")
        return answer, data

    def _take(self) -> _Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_living():
                    return child
        try:
            return _Child()
        except (OSError, EOFError) as error:
            raise RouterError(f"the codec process does not start: {error}") from error


class _Child:
    """One codec process."""

    def __init__(self) -> None:
        # Nothing of our environment: it may hold secrets.
        environment = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        )

    def is_living(self) -> bool:
        """Whether it takes another frame: it answers a first, empty word."""
        try:
            self.ask({"do": "wait"}, ())
        except (OSError, EOFError):
            self.end()
            return False
        return True

    def ask(self, header: dict[str, Any], parts: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
        """Its answer. Raises OSError and EOFError where it ends instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        write_message(self._process.stdin, header, parts)  # type: ignore[arg-type]
        return read_message(self._process.stdout)  # type: ignore[arg-type]

    def end(self) -> str:
        """End it, and say how it ended by itself, if it did."""
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == -signal.SIGALRM:
            return f"the codec worked longer than {MAX_SECONDS} s on a frame"
        return f"the codec ended with {signal.Signals(-code).name if code < 0 else code}"
