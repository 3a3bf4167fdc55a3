"""How the stations are: the last look at each, and what waits, for `status` and `stations`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.cli.common import iso_time
from router.store.ledger import Ledger


def states(ledger: Ledger | None, names: Iterable[str]) -> list[dict[str, Any]]:
    """One object a station, by name; those that are gone too, while something waits for them."""
    statuses = ledger.station_statuses() if ledger else {}
    waiting = ledger.waiting_stations() if ledger else {}
    found: list[dict[str, Any]] = []
    for name in sorted({*names, *waiting}):
        known = statuses.get(name)
        found.append(
            {
                "name": name,
                "status": known.state if known else "unknown",
                "since": iso_time(known.since) if known else None,
                "reason": known.reason if known else "",
                "queued": waiting.get(name, 0),
                "checked": iso_time(known.checked_at) if known else None,
                "seconds": known.seconds if known else None,
                "answer": known.answer if known else "",
            }
        )
    return found
