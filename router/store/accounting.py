"""The balance: what was counted when it happened against what the rows say now.

    received = routed + unmatched + discarded + quarantined + duplicate
    created  = queued + sending + sent + held + delivered + dead + quarantined + cancelled + moved, per
               station; what moved is created once more at another station of its `first_of`

Every side is also compared with the counters, so a lost, added or altered row shows. `deep_check`
looks further: the record of everything that is owed must be whole in the journal.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from typing import Final

from router.model.delivery import Disposition, State
from router.store.balance import Account
from router.store.ledger import Ledger
from router.store.records import Journal, RecordDamaged

_COUNTED: Final = """
SELECT 'instance:' || disposition, '', count(*) FROM instance GROUP BY disposition
UNION ALL SELECT 'delivery:' || state, station, count(*) FROM delivery GROUP BY station, state
"""
_HOLDING: Final = (
    "SELECT station FROM station_status WHERE state IN ('offline', 'inactive') OR closed <> ''"
)
_FORGOTTEN: Final = "forgotten:"
_STATES: Final = ("created", *(state.value for state in State), "held")


def account(connection: sqlite3.Connection) -> Account:
    """The balance, inside one consistent view."""
    counters = {
        (name, station): value
        for name, station, value in connection.execute("SELECT name, station, value FROM counter")
    }
    rows = _count(connection)
    holding = {station for (station,) in connection.execute(_HOLDING)}
    instances = {
        word: counters.get((f"instance:{word}", ""), 0)
        for word in ("received", *(disposition.value for disposition in Disposition))
    }
    stations: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_STATES, 0))
    for (name, station), value in counters.items():
        kind, _, word = name.partition(":")
        if kind == "delivery":
            stations[station][word] = value
    differences = _compare(counters, rows) + _add_up(instances, stations)
    for station in holding & set(stations):
        stations[station]["held"] = stations[station]["queued"]
        stations[station]["queued"] = 0
    deliveries = {word: sum(counts[word] for counts in stations.values()) for word in _STATES}
    return Account(instances, deliveries, dict(stations), differences)


def _count(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The rows there are, under the names of the counters."""
    rows: Counter[tuple[str, str]] = Counter()
    for name, station, value in connection.execute(_COUNTED):
        kind = name.partition(":")[0]
        rows[name, station] = value
        rows[f"{kind}:{'received' if kind == 'instance' else 'created'}", station] += value
    return rows


def _compare(
    counters: dict[tuple[str, str], int], rows: dict[tuple[str, str], int]
) -> tuple[str, ...]:
    """Counters against rows and what was pruned of them."""
    differences = []
    for key in sorted(set(counters) | set(rows)):
        name, station = key
        if name.startswith(_FORGOTTEN):
            continue
        there = rows.get(key, 0) + counters.get((_FORGOTTEN + name, station), 0)
        counted = counters.get(key, 0)
        if there != counted:
            where = f" for {station}" if station else ""
            differences.append(f"{name}{where}: {counted} counted, {there} there")
    return tuple(differences)


def _add_up(instances: dict[str, int], stations: dict[str, dict[str, int]]) -> tuple[str, ...]:
    differences = []
    placed = sum(instances.values()) - instances["received"]
    if placed != instances["received"]:
        differences.append(f"{instances['received']} received, {placed} placed")
    for station, counts in sorted(stations.items()):
        placed = sum(counts.values()) - counts["created"]
        if placed != counts["created"]:
            differences.append(f"{station}: {counts['created']} created, {placed} placed")
    return tuple(differences)


def deep_check(journal: Journal, ledger: Ledger) -> tuple[int, ...]:
    """Instance ids of owed records that cannot be opened whole: head, envelope and trailer."""
    damaged = []
    for instance_id, ref in ledger.owed_records():
        try:
            record = journal.open(ref)
        except RecordDamaged:
            damaged.append(instance_id)
            continue
        try:
            record.envelope()
        except RecordDamaged:
            damaged.append(instance_id)
        finally:
            record.close()
    return tuple(damaged)
