"""Fetching: objects of a DICOMweb station into the intake, as if it had sent them.

A few come side by side, each straight from its answer into a record of the journal; nothing of them is
in memory or in a file beside it. What is fetched to be handed on is kept and asks no rule; what is
fetched because someone wants it here is routed like anything else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from router.clock import Clock
from router.errors import DeliveryError, RouterError, StoreDown, StoreFull
from router.flow.intake import Arrival, Intake
from router.model.instance import RETRIEVED, Source
from router.model.plan import Plan
from router.model.query import ObjectName
from router.model.station import Station
from router.peers.search import Fetchable

SIDE_BY_SIDE: Final = 4
OBJECT_SECONDS: Final = 3600.0
_LOOK_SECONDS: Final = 0.25


@dataclass(slots=True)
class Fetched:
    """How far a retrieval is. `reason` is why the last one failed, for people."""

    remaining: int
    completed: int = 0
    failed: list[str] = field(default_factory=list)
    reason: str = ""
    gave_up: bool = False


class Fetcher:
    """Brings objects here. Shared by threads."""

    def __init__(self, plan: Callable[[], Plan], intake: Intake, clock: Clock) -> None:
        self._plan = plan
        self._intake = intake
        self._clock = clock

    def fetch(
        self,
        station: Station,
        peer: Fetchable,
        names: Sequence[ObjectName],
        goes_on: Callable[[], bool],
        *,
        is_routed: bool,
        deadline_seconds: float = OBJECT_SECONDS,
    ) -> Iterator[Fetched]:
        """How far it is, at least four times a second, the last one when it is over.

        What the station refuses as a caller, or a store without room, ends the whole: `gave_up`.
        """
        told = Fetched(len(names))
        waiting = list(reversed(names))
        until = self._clock.monotonic() + deadline_seconds
        stopping = threading.Event()

        def bring(name: ObjectName) -> None:
            seconds = max(until - self._clock.monotonic(), 1.0)
            self._bring(station, peer, name, seconds, stopping, is_routed=is_routed)

        threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="fetch")
        running: dict[Future[None], ObjectName] = {}
        try:
            while waiting or running:
                over = told.gave_up or self._clock.monotonic() >= until
                if not goes_on() or (over and not running):
                    break
                while waiting and len(running) < SIDE_BY_SIDE and not over:
                    name = waiting.pop()
                    running[threads.submit(bring, name)] = name
                ended, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
                for one in ended:
                    _count(told, running.pop(one), one.exception())
                yield told
        finally:
            # Whoever hangs in a slow answer is not waited for: it ends by its own time-out.
            stopping.set()
            threads.shutdown(wait=False, cancel_futures=True)
        told.failed += [name.sop_instance_uid for name in (*running.values(), *waiting)]
        told.remaining = 0
        yield told

    def _bring(
        self,
        station: Station,
        peer: Fetchable,
        name: ObjectName,
        seconds: float,
        stopping: threading.Event,
        *,
        is_routed: bool,
    ) -> None:
        with peer.fetch(name, seconds) as coming:
            if coming.meta.sop_instance_uid not in ("", name.sop_instance_uid):
                raise DeliveryError("the station gave another object than the one asked for")
            arrival = Arrival(
                self._source(station),
                coming.meta.sop_class_uid,
                name.sop_instance_uid,
                coming.meta.transfer_syntax_uid,
                is_routed=is_routed,
            )
            answer = self._intake.take(arrival, _until(coming.chunks, stopping))
        if answer.status:
            error = StoreFull if answer.status >> 8 == 0xA7 else DeliveryError
            raise error(answer.comment)

    def _source(self, station: Station) -> Source:
        own = self._plan().router.ae_title
        return Source(RETRIEVED, station.ae_title or station.name, own, "", station.name)


def _until(chunks: Iterator[memoryview], stopping: threading.Event) -> Iterator[memoryview]:
    for chunk in chunks:
        if stopping.is_set():
            raise DeliveryError("cancelled")
        yield chunk


def _count(told: Fetched, name: ObjectName, error: BaseException | None) -> None:
    told.remaining -= 1
    if error is None:
        told.completed += 1
        return
    if not isinstance(error, RouterError):
        raise error
    told.failed.append(name.sop_instance_uid)
    told.reason = str(error)
    told.gave_up |= error.scope == "station" or isinstance(error, StoreFull | StoreDown)
