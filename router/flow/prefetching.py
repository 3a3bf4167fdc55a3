"""Prefetching: what somebody will want soon is fetched here, in the order they named (features 84).

A list is worked on in batches: the items of one side by side, the next when all of them are over.
What is held is not fetched again. Lists are rows of the ledger, so that one which a stop cuts off goes
on after it, and whoever asked can follow or cancel it from anywhere. One list at a time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Final

from router.clock import Clock
from router.errors import RouterError, StoreDown, StoreFull
from router.flow.turns import take_turns, unless_in_trouble
from router.model.plan import Plan
from router.model.station import Station
from router.store.cache_book import CacheBook
from router.store.prefetches import Brought, Item, ItemState, Prefetch, Wanted
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 30.0
_SLICE_SECONDS: Final = 0.25
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
_UID_CHARACTERS: Final = 64
Bring = Callable[[Station, Wanted, Callable[[], bool]], Brought]


class NotWanted(RouterError):
    """What is named cannot be prefetched, and why."""

    http_status = 422


def wanted_of(plan: Plan, name: str, study: str, series: str = "", instance: str = "") -> Wanted:
    """One item of a list. Raises NotWanted."""
    station = plan.stations.get(name)
    if station is None:
        raise NotWanted(f"there is no station {name!r}")
    if not station.may_be_asked:
        raise NotWanted(f"station {name} may not be asked: it needs query_retrieve: true")
    for uid in (study, series, instance):
        if uid and (not _UID.match(uid) or len(uid) > _UID_CHARACTERS):
            raise NotWanted(f"{uid!r} is no UID")
    if not study or (instance and not series):
        raise NotWanted("name a study, a series with its study, or an instance with both")
    return Wanted(name, study, series, instance)


class Prefetching:
    """Works on prefetches; `run` is its thread. What is not over goes on with whoever follows."""

    def __init__(
        self,
        plan: Plan,
        book: CacheBook,
        bringing: Callable[[], AbstractContextManager[Bring]],
        clock: Clock,
        log: Log,
        metrics: Metrics,
        stop: threading.Event,
        has_successor: Callable[[], bool],
    ) -> None:
        """`bringing` opens what brings one item here; it is asked from several threads."""
        self._plan = plan
        self._book = book
        self._bringing = bringing
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._stop = stop
        self._has_successor = has_successor

    def _leaves_off(self) -> bool:
        return self._stop.is_set() or self._has_successor()

    def run(self) -> None:
        """Look again and again until told to stop, or until another does it.

        A store in trouble is told and tried again.
        """
        turn = unless_in_trouble(
            lambda: 0.0 if self.work() else LOOK_SECONDS,
            self._log,
            "prefetching cannot go on",
            TROUBLE_SECONDS,
        )
        take_turns(turn, self._clock, self._stop, self._has_successor)

    def work(self) -> bool:
        """Work on the first list that is not over; whether there was one."""
        found = self._book.begin_prefetch()
        if found is None:
            return False
        waiting = [one for one in found.items if one.state == "ready"]
        with self._bringing() as bring:
            while waiting and not self._leaves_off() and self._is_wanted(found):
                self._batch(found, waiting[: found.batch], bring)
                waiting = waiting[found.batch :]
        self._book.end_prefetch(found.prefetch_id)
        return True

    def _is_wanted(self, prefetch: Prefetch) -> bool:
        return not self._book.is_cancelled(prefetch.prefetch_id)

    def _batch(self, prefetch: Prefetch, items: Sequence[Item], bring: Bring) -> None:
        leave_off = threading.Event()
        looked_at = self._clock.monotonic()
        with ThreadPoolExecutor(len(items), thread_name_prefix="prefetch") as threads:
            running: dict[Future[Brought], Item] = {
                threads.submit(self._bring, one.wanted, bring, leave_off): one for one in items
            }
            while running:
                ended, _ = wait(running, _SLICE_SECONDS, FIRST_COMPLETED)
                if self._clock.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = self._clock.monotonic()
                    if self._leaves_off() or not self._is_wanted(prefetch):
                        leave_off.set()
                for future in ended:
                    self._settle(prefetch, running.pop(future), future.result(), leave_off)

    def _bring(self, wanted: Wanted, bring: Bring, leave_off: threading.Event) -> Brought:
        station = self._plan.stations.get(wanted.station)
        if station is None or not station.may_be_asked:
            return Brought(
                trouble=f"station {wanted.station} is gone, or may not be asked any more"
            )
        try:
            return bring(station, wanted, lambda: not leave_off.is_set())
        except (StoreDown, StoreFull):
            raise
        except RouterError as error:
            return Brought(trouble=str(error))

    def _settle(
        self, prefetch: Prefetch, item: Item, came: Brought, leave_off: threading.Event
    ) -> None:
        if leave_off.is_set() and (came.failed or came.trouble):
            # Cut off, not failed: cancelled it is settled already, else it is begun again.
            return
        state: ItemState = "failed" if came.failed or came.trouble else "done"
        self._book.settle_item(prefetch.prefetch_id, item.number, state, came)
        self._metrics.prefetch_items.add(state)
        for result, number in (
            ("fetched", came.fetched), ("held", came.held), ("failed", came.failed)
        ):  # fmt: skip
            if number:
                self._metrics.prefetched_objects.add(result, amount=number)
        tell = self._log.info if state == "done" else self._log.warning
        tell(
            "prefetched",
            prefetch=prefetch.prefetch_id,
            station=item.wanted.station,
            study=item.wanted.study_instance_uid,
            fetched=came.fetched,
            held=came.held,
            failed=came.failed,
            reason=came.trouble,
        )
