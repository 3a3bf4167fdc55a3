"""What came of the last change of the configuration, for whoever asks: one small file.

Written by the watching role and by the supervisor; read by `apply`, `status` and the metrics. It
holds messages about the configuration, no secrets.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Final, Literal

from router.serve.mailbox import Mailbox
from router.serve.places import Places
from router.telemetry.log import Log

State = Literal["applied", "refused", "unchanged"]
_NAME: Final = "reload.json"
_REQUEST: Final = "apply"
_STEP_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ReloadState:
    """The outcome: of which request ('' when nobody asked), when, the running plan, and why not."""

    state: State
    request: str
    at: float
    digest: str
    problems: str = ""


def tell(places: Places, log: Log, told: ReloadState) -> None:
    """Replace what was told before; a refusal is told in the log too."""
    if told.state == "refused":
        log.error("the changed configuration is refused", problems=told.problems[:4000])
    path = places.run / _NAME
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        fresh.write_text(json.dumps(asdict(told)), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        log.warning("the outcome of a reload could not be written", reason=error.strerror)


def read_state(places: Places) -> ReloadState | None:
    """The last outcome; None when there was none since the start."""
    try:
        return ReloadState(**json.loads((places.run / _NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def ask(places: Places) -> str:
    """Ask the running router to look at its folder now; the name of the request. Raises OSError."""
    return Mailbox(places, _REQUEST).ask({})


def take_request(places: Places) -> str | None:
    """The request that waits, which is then nobody else's; None when there is none."""
    found = Mailbox(places, _REQUEST).take()
    return None if found is None else found[0]


def answer_of(places: Places, timeout_seconds: float) -> ReloadState | None:
    """Ask the running router to take its folder; what came of it, None when it does not say."""
    request = ask(places)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        told = read_state(places)
        if told is not None and told.request == request:
            return told
        time.sleep(_STEP_SECONDS)
    return None
