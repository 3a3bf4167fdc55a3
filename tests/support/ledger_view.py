"""A look into a router's ledger while it runs: quicker than a command, and nothing is changed.

Tests use it to wait and to see what was decided; what a user sees is asked with commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.clock import Clock
from router.store.sqlite_ledger import SqliteLedger
from tests.support.process import wait_until


@contextmanager
def ledger_of(data_dir: Path) -> Iterator[SqliteLedger]:
    """The ledger of a data directory, opened to read."""
    ledger = SqliteLedger.open(data_dir / "ledger" / "ledger.db", Clock(), "a-look", read_only=True)
    try:
        yield ledger
    finally:
        ledger.close()


def deliveries(data_dir: Path, station: str | None = None) -> dict[str, int]:
    """Counts of deliveries by state, of one station or of all."""
    with ledger_of(data_dir) as ledger:
        account = ledger.account()
    return dict(account.deliveries if station is None else account.stations.get(station, {}))


def wait_for(
    data_dir: Path, timeout_seconds: float = 30.0, *, station: str | None = None, **counts: int
) -> None:
    """Wait until the deliveries have these counts by state; AssertionError with those they have."""
    seen: dict[str, int] = {}

    def reached() -> bool:
        seen.clear()
        seen.update(deliveries(data_dir, station))
        return all(seen.get(state, 0) == count for state, count in counts.items())

    try:
        wait_until(reached, timeout_seconds, what=f"{counts} at {station or 'all stations'}")
    except AssertionError as error:
        raise AssertionError(f"{error}; there are {seen}") from None


def wait_until_listed(data_dir: Path, series: int) -> None:
    """Wait until the catalogue, which follows the journal, has that many series."""

    def listed() -> bool:
        with ledger_of(data_dir) as ledger:
            return len(ledger.catalogue_after(0, series)) >= series

    wait_until(listed, what=f"{series} series are listed")
