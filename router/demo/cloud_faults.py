"""What can go wrong in a pretend cloud, written as scripts: one Fault for each request to come."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request is treated. Without any field set it is treated well.

    `keep`: how many of its parts are stored, from the first; None for all. `fail` is the failure
    reason of those that are not (`unnamed`: told without their UIDs; `silent`: not told at all).
    `warn` is a warning reason for all that are. `status`, `body`, `content_type` and `headers`
    replace what would be answered. `early`: answered before the body is read. `drop`: the
    connection is closed in place of an answer. `drip_seconds`: the answer comes byte by byte.
    `revoke`: every token given out so far is void from now on.
    """

    status: int | None = None
    body: bytes | None = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    keep: int | None = None
    fail: int | None = None
    unnamed: bool = False
    silent: bool = False
    warn: int | None = None
    early: bool = False
    drop: bool = False
    drip_seconds: float = 0.0
    revoke: bool = False


FINE = Fault()


class Script:
    """Faults for the requests to come, in order; after the last one all is well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: deque[Fault] = deque()
        self._always = FINE

    def add(self, *faults: Fault) -> None:
        """One more request each."""
        with self._lock:
            self._faults.extend(faults)

    def always(self, fault: Fault) -> None:
        """Every request for which nothing else is scripted."""
        with self._lock:
            self._always = fault

    def next(self) -> Fault:
        """How the request that begins now is treated."""
        with self._lock:
            return self._faults.popleft() if self._faults else self._always
