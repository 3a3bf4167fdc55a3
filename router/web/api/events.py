"""Server-sent events (WHATWG HTML 9.2): tasks and stations that changed, as they change.

One thread looks for all who listen, once a second, and only when the ledger changed. An event says
what changed and how it is now, without patients; who needs more asks the API. A token limited to
organizations is told of their stations.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from router.clock import Clock
from router.errors import StoreDown
from router.flow.told import task_json
from router.model.plan import Plan
from router.model.task import Task, TaskFilter
from router.store.ledger import Ledger
from router.web.reach import Stations, reach_of, reaches, task_within

LOOK_SECONDS: Final = 1.0
SIGN_OF_LIFE_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 600.0
MOST_LISTENERS: Final = 32
_TASKS: Final = 200
_News = Task | dict[str, Any]


class Events:
    """Tells whoever listens. `run` is the body of a thread."""

    def __init__(self, ledger: Ledger, clock: Clock, plan: Plan) -> None:
        self._ledger = ledger
        self._plan = plan
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[str], tuple[asyncio.AbstractEventLoop, Stations]] = {}
        self._seen: dict[str, _News] | None = None
        self._ends = False
        self._version = -1
        self._arrives = False
        """Something is received: that ends by time alone, with no change of the ledger."""

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        while not self._clock.wait(stop, LOOK_SECONDS):
            with self._lock:
                is_heard = bool(self._listeners)
            if not is_heard:
                self._seen = None
                continue
            with suppress(StoreDown):
                self._look()

    def _look(self) -> None:
        version = self._ledger.version()
        if self._seen is not None and version == self._version and not self._arrives:
            return
        now: dict[str, _News] = {}
        self._arrives = False
        for task in self._ledger.tasks(limit=_TASKS, wanted=TaskFilter()):
            now[f"task {task.task_id}"] = task
            self._arrives |= task.direction == "receive" and task.status == "In Progress"
        for name, one in self._ledger.station_statuses().items():
            now[f"station {name}"] = {"name": name, "status": one.state, "reason": one.reason}
        before, self._seen, self._version = self._seen, now, version
        if before is not None:
            self._tell([one for key, one in now.items() if before.get(key) != one])

    def _tell(self, news: Sequence[_News | None]) -> None:
        """Tell who may hear it; None, the end, to all."""
        with self._lock:
            listeners = list(self._listeners.items())
        for queue, (loop, stations) in listeners:
            for one in news:
                text = self._event(one, stations)
                with suppress(RuntimeError):  # its loop has ended
                    if text:
                        loop.call_soon_threadsafe(_put, queue, text)

    def _event(self, news: _News | None, stations: Stations) -> str:
        if news is None:
            return ": the end\n\n"
        if isinstance(news, Task):
            if not reaches(stations, news.station):
                return ""
            return _event("task", task_json(task_within(self._plan, stations, news)))
        return _event("station", news) if reaches(stations, news["name"]) else ""

    def end(self) -> None:
        """Have every stream end: whoever listened asks again, of our successor."""
        self._ends = True
        self._tell([None])

    async def stream(self, request: Request) -> Response:
        """The endpoint: a stream of `task` and `station` events."""
        stations = reach_of(self._plan, request.state.identity)
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=_TASKS * 4)
        with self._lock:
            if len(self._listeners) >= MOST_LISTENERS:
                return Response(status_code=503, headers={"retry-after": "10"})
            self._listeners[queue] = asyncio.get_running_loop(), stations
        return _Stream(self._texts(queue), lambda: self._forget(queue))

    async def _texts(self, queue: asyncio.Queue[str]) -> AsyncIterator[str]:
        until = asyncio.get_running_loop().time() + LIFE_SECONDS
        try:
            yield "retry: 3000\n\n"
            # It ends by itself so that a revoked token is asked for again.
            while asyncio.get_running_loop().time() < until and not self._ends:
                try:
                    async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                        yield await queue.get()
                except TimeoutError:
                    yield ": here\n\n"
        finally:
            self._forget(queue)

    def _forget(self, queue: asyncio.Queue[str]) -> None:
        with self._lock:
            self._listeners.pop(queue, None)


class _Stream(StreamingResponse):
    """Ends also where nobody ever began to read it: the generator alone would not know."""

    def __init__(self, texts: AsyncIterator[str], on_end: Callable[[], None]) -> None:
        super().__init__(texts, media_type="text/event-stream")
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _put(queue: asyncio.Queue[str], text: str) -> None:
    with suppress(asyncio.QueueFull):  # who reads so slowly asks again when it is through
        queue.put_nowait(text)


def _event(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
