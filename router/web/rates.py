"""Rates of the last hour: differences of counters, one sample every ten seconds, kept in memory.

Kept beside the published metrics too, so that a changed configuration, which replaces the process
that samples, does not empty the picture.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from router.clock import Clock

STEP_SECONDS: Final = 10.0
_SAMPLES: Final = 361
_NAME: Final = "rates.json"


class Rates:
    """Samples totals by name; `run` is the body of a thread."""

    def __init__(self, read: Callable[[], Mapping[str, float]], clock: Clock, folder: Path) -> None:
        self._read = read
        self._clock = clock
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_SAMPLES)

    def run(self, stop: threading.Event) -> None:
        """Sample until told to stop."""
        self._take_over()
        while not stop.is_set():
            sample = (self._clock.now(), dict(self._read()))
            with self._lock:
                self._samples.append(sample)
            self._keep()
            self._clock.wait(stop, STEP_SECONDS)

    def per_second(self, name: str, points: int = 60) -> list[float]:
        """The rate in each of `points` equal parts of the last hour, the latest last."""
        with self._lock:
            samples = list(self._samples)
        now = self._clock.now()
        width = _SAMPLES * STEP_SECONDS / points
        found = [0.0] * points
        for (before, one), (after, two) in pairwise(samples):
            # A counter that fell belongs to a router that was started anew.
            growth = max(0.0, two.get(name, 0.0) - one.get(name, 0.0))
            place = points - 1 - int((now - after) / width)
            if growth and 0 <= place < points and after > before:
                found[place] += growth / width
        return found

    def _take_over(self) -> None:
        try:
            kept = json.loads(self._path.read_text(encoding="ascii"))
            samples = [(float(at), dict(totals)) for at, totals in kept][-_SAMPLES:]
        except (OSError, ValueError, TypeError):
            return
        with self._lock:
            self._samples.extendleft(reversed(samples))

    def _keep(self) -> None:
        with self._lock:
            text = json.dumps(list(self._samples))
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(text, encoding="ascii")
            fresh.replace(self._path)
        except OSError:
            return  # a full disk: the picture is lost at the next change, nothing else
