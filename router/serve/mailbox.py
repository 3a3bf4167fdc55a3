"""Asking a role of the running router for something: one small file in, one small file out.

A request replaces one that nobody took yet; whoever asked that hears nothing. No secrets.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.serve.places import Places

_STEP_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The requests of one kind, in the run folder."""

    places: Places
    kind: str

    def ask(self, wish: Mapping[str, Any]) -> str:
        """Put a request; its name. Raises OSError."""
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        self._put(self._request, {**wish, "request": name})
        return name

    def take(self) -> tuple[str, Mapping[str, Any]] | None:
        """The request that waits, by its name, which is then nobody else's; None without one."""
        wish = _read(self._request)
        if wish is None:
            return None
        try:
            self._request.unlink()
        except OSError:
            return None
        return str(wish.get("request", "")), wish

    def answer(self, request: str, outcome: Mapping[str, Any]) -> None:
        """Say what came of a request. Raises OSError."""
        self._put(self._answer, {**outcome, "request": request})

    def answer_to(self, request: str, timeout_seconds: float) -> Mapping[str, Any] | None:
        """What came of a request; None when nobody says in time."""
        until = time.monotonic() + timeout_seconds
        while time.monotonic() < until:
            found = _read(self._answer)
            if found is not None and found.get("request") == request:
                return {key: value for key, value in found.items() if key != "request"}
            time.sleep(_STEP_SECONDS)
        return None

    @property
    def _request(self) -> Path:
        return self.places.run / f"{self.kind}.request"

    @property
    def _answer(self) -> Path:
        return self.places.run / f"{self.kind}.answer"

    def _put(self, path: Path, data: Mapping[str, Any]) -> None:
        fresh = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}")
        fresh.write_text(json.dumps(data), encoding="utf-8")
        fresh.replace(path)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
