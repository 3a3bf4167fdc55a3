"""The codec child: reads a frame, answers with what became of it, and ends when its parent does.

It may allocate MAX_MEMORY_BYTES, work MAX_SECONDS on a frame, write no file and leave no core, which
would hold pixels of patients. What goes wrong is told by the kind of the error: its text may hold
values of the data set.
"""

from __future__ import annotations

import resource
import select
import signal
import sys
import warnings
from dataclasses import asdict
from typing import Any, Final

from router.dicom.frames import PixelFacts
from router.dicom.metadata import UNREADABLE
from router.errors import BadDataset
from router.pixels.channel import read_message, write_message
from router.pixels.convert import converted
from router.pixels.draw import drawn
from router.pixels.limits import IDLE_SECONDS, MAX_MEMORY_BYTES, MAX_SECONDS

# What codecs are known to raise besides; after anything else the child ends, and another begins.
_FAULTS: Final = (*UNREADABLE, AssertionError, MemoryError, RuntimeError, SyntaxError)


def main() -> None:
    """Answer until the parent hangs up, or asks nothing for IDLE_SECONDS."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the supervisor
    warnings.simplefilter("ignore")
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    while select.select([incoming], (), (), IDLE_SECONDS)[0]:
        try:
            request, data = read_message(incoming)
        except EOFError:
            return
        signal.alarm(MAX_SECONDS)
        try:
            answer, result = _answer(request, data)
        except BadDataset as error:
            answer, result = {"error": str(error)}, b""
        except _FAULTS as error:
            answer, result = {"error": f"it cannot be decoded ({type(error).__name__})"}, b""
        signal.alarm(0)
        write_message(outgoing, answer, (result,))


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    if request["do"] == "wait":
        return {}, b""
    facts = PixelFacts(**request["facts"])
    if request["do"] == "convert":
        result, facts = converted(data, request["from"], request["to"], facts)
        return {"facts": asdict(facts)}, result
    header, frame = data[: request["header"]], data[request["header"] :]
    of_header, of_frame = request["syntaxes"]
    return {}, drawn((header, of_header), (frame, of_frame), facts, request["wish"])
