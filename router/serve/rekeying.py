"""Rekeying after a rotation: a thread of role `deliver`, and how far it is, for whoever asks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from router.errors import StoreDown, StoreFull
from router.serve.auditing import note_system
from router.serve.places import Places
from router.serve.process import Role
from router.store.cache_book import CacheBook
from router.store.journal import Journal
from router.store.rekeying import Rekeyed, Rekeying

LOOK_SECONDS: Final = 5.0
TELL_SECONDS: Final = 1.0


def start_rekeying(role: Role, journal: Journal) -> Callable[[], None]:
    """The thread that wraps anew after a rotation; what is given back waits for its end."""
    book = CacheBook.open(role.places.ledger, role.clock)
    rekeying = Rekeying(journal, book.database)

    def run() -> None:
        while not role.clock.wait(role.threads.stop, LOOK_SECONDS):
            if role.notices.retiring:
                return
            try:
                if rekeying.is_wanted():
                    _rekey(role, rekeying)
            except (StoreDown, StoreFull) as error:
                role.log.error("rekeying cannot go on", reason=str(error))  # noqa: TRY400 - the reason is all there is

    thread = role.threads.start("rekeying", run)

    def end() -> None:
        thread.join(LOOK_SECONDS)
        book.close()

    return end


def _rekey(role: Role, rekeying: Rekeying) -> None:
    done = rekeying.run(
        lambda: not role.threads.stop.is_set() and not role.notices.retiring,
        lambda told: publish(role.places, told, role.clock.now()),
    )
    if done.records:
        role.metrics.keys_rewrapped.add("records", amount=done.records)
    if done.rows:
        role.metrics.keys_rewrapped.add("rows", amount=done.rows)
    if done.records or done.rows or done.retired:
        role.log.info(
            "keys wrapped anew", records=done.records, rows=done.rows, damaged=done.damaged,
            retired=done.retired, kept=done.kept,
        )  # fmt: skip
    for name in done.retired:
        note_system(role.plan, "keys_changed", f"key {name} dropped", role.log)


def publish(places: Places, done: Rekeyed, now: float) -> None:
    """Write how far it is, for whoever asks."""
    fresh = places.rekeying.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        fresh.write_text(json.dumps({**asdict(done), "at": now}), encoding="ascii")
        fresh.replace(places.rekeying)


def progress(places: Places) -> dict[str, Any] | None:
    """How far the last rekeying was; None when there was none since the start."""
    try:
        found: dict[str, Any] = json.loads(places.rekeying.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return found
