"""Verification of all that is held, or of a study, because somebody asked: read to its end, in order.

It rests as long as it reads, so that deliveries keep the disk; what does not open is told the log and
kept with the verification. A stop cuts it off, and it goes on behind the last record that was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from router.clock import Clock
from router.flow.turns import take_turns, unless_in_trouble
from router.store.cache_book import CacheBook
from router.store.journal import Journal
from router.store.verifications import Damage, Verification
from router.store.verifying import verify
from router.telemetry.log import Log

LOOK_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 30.0
READ_SECONDS: Final = 0.1


class Verifier:
    """Works on verifications, one at a time; `run` is its thread."""

    def __init__(
        self,
        journal: Journal,
        book: CacheBook,
        clock: Clock,
        log: Log,
        stop: threading.Event,
        has_successor: Callable[[], bool],
    ) -> None:
        """What is not over goes on with whoever follows: `has_successor` says that somebody does."""
        self._journal = journal
        self._book = book
        self._clock = clock
        self._log = log
        self._stop = stop
        self._has_successor = has_successor

    def run(self) -> None:
        """Look again and again until told to stop, or until another does it."""
        turn = unless_in_trouble(
            lambda: 0.0 if self.work() else LOOK_SECONDS,
            self._log,
            "verifying cannot go on",
            TROUBLE_SECONDS,
        )
        take_turns(turn, self._clock, self._stop, self._has_successor)

    def work(self) -> bool:
        """Work on the first verification that is not over; whether there was one."""
        found = self._book.begin_verification()
        if found is None:
            return False
        is_whole, is_wanted = self._read(found)
        if is_whole and is_wanted:
            self._book.end_verification(found.verification_id)
        self._log.info(
            "verified what is held" if is_whole else "verifying was broken off",
            verification=found.verification_id,
            **found.done.counts(),
        )
        return True

    def _read(self, found: Verification) -> tuple[bool, bool]:
        """Whether it was read to its end, and whether it is still wanted."""
        number, done = found.verification_id, found.done
        news: list[Damage] = []
        told_at = began = self._clock.monotonic()
        is_wanted = True

        def goes_on() -> bool:
            nonlocal told_at, began, is_wanted
            now = self._clock.monotonic()
            if now - told_at >= LOOK_SECONDS:
                told_at = now
                is_wanted = self._book.note_verification(number, done, news)
                news.clear()
            if now - began >= READ_SECONDS:
                self._clock.wait(self._stop, now - began)
                began = self._clock.monotonic()
            return is_wanted and not self._stop.is_set() and not self._has_successor()

        for one in verify(
            self._journal, self._book.database, done, found.study_instance_uid, goes_on
        ):
            news.append(Damage(one.held.instance_id, one.reason, one.is_owed))
            self._log.error(
                "a held instance does not open",
                verification=number, instance=one.held.instance_id, reason=one.reason,
            )  # fmt: skip
        is_cut = not is_wanted or self._stop.is_set() or self._has_successor()
        is_wanted = self._book.note_verification(number, done, news)
        return not is_cut, is_wanted
