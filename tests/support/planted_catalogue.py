"""A catalogue of many synthetic studies, written through the product's own ledger and keys."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from router.clock import Clock
from router.model.catalogue import SeriesEntry
from router.store.catalogue import sealed_row
from router.store.keys import KeyRing
from router.store.sqlite_ledger import SqliteLedger

ROOT = "1.2.826.0.1.3680043.10.1.999.9"
FAMILIES = (
    "Almeida",
    "Conceição",
    "García",
    "Novak",
    "Okafor",
    "Schäfer",
    "Yamada",
    "김",
    "Παππάς",
)
GIVEN = ("Ana", "João", "Li", "Maria", "Tarō", "Zoë")
BATCH = 2000


def entries(count: int, seed: int = 1) -> Iterator[SeriesEntry]:
    """`count` studies of one series each; the same seed, the same studies."""
    rng = random.Random(seed)
    for number in range(count):
        study, series = f"{ROOT}.{number}", f"{ROOT}.{number}.1"
        name = f"{rng.choice(FAMILIES)}{number % 997}^{rng.choice(GIVEN)}"
        date = f"{rng.randint(2015, 2026)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
        attributes = {
            0x00100010: name,
            0x00100020: f"P{number // 2:07}",
            0x00100021: "HOSPA",
            0x00100030: f"{rng.randint(1930, 2020)}0{rng.randint(1, 9)}15",
            0x00100040: rng.choice("FM"),
            0x00080020: date,
            0x00080030: "101530",
            0x00080050: f"A{number:08}",
            0x00080060: rng.choice(("CT", "MR", "CR", "US")),
            0x00080090: "Referrer^Rita",
            0x00081030: rng.choice(("CHEST ROUTINE", "THORAX", "HEAD", "KNEE LEFT")),
            0x0008103E: "AXIAL 5 MM",
            0x00180015: "CHEST",
            0x0020000D: study,
            0x0020000E: series,
            0x00200010: f"S{number}",
            0x00200011: "1",
        }
        yield SeriesEntry(study, series, f"{series}.1", attributes)


def plant(data_dir: Path, count: int) -> None:
    """Write them into the ledger of a data directory, made when it is missing."""
    keys = KeyRing.open(data_dir / "keys")
    ledger = SqliteLedger.open(data_dir / "ledger" / "ledger.db", Clock(), "planting")
    batch = []
    for entry in entries(count):
        batch.append(sealed_row(entry, keys.primary))
        if len(batch) == BATCH:
            ledger.put_catalogue(0, batch)
            batch = []
    ledger.put_catalogue(0, batch)
    ledger.close()
