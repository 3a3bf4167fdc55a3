"""The catalogue: everything held here by patient, study and series, unsealed in memory only.

On disk it is sealed rows of the ledger; `Catalogue` follows them into an SQLite database in memory
(about 1 KB a study) and is searched there: SQL narrows, the matching of PS3.4 C.2.2.2 decides. A
study is listed while bytes of it are here. One lock, held for a page at a time; safe for threads.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from router.errors import StoreDown
from router.model.catalogue import (
    MODALITY,
    ORIGINAL_ISSUER,
    ORIGINAL_PATIENT_ID,
    PATIENT_TAGS,
    STUDY_TAGS,
    Attributes,
    SeriesEntry,
)
from router.model.query import Identifier
from router.store.keys import KeyRing, PrimaryKey
from router.store.ledger import CatalogueRow, Ledger
from router.store.narrowing import COLUMNS, column_values, conditions
from router.store.records import RecordDamaged

PAGE: Final = 100
LATEST: Final = 1 << 62
FOLLOW_ROWS: Final = 500
_ABOVE_SERIES: Final = PATIENT_TAGS | STUDY_TAGS | {ORIGINAL_PATIENT_ID, ORIGINAL_ISSUER}
_SCHEMA: Final = f"""
CREATE TABLE study (
  entry INTEGER PRIMARY KEY, study_uid TEXT NOT NULL UNIQUE, attributes TEXT NOT NULL,
  {", ".join(f"{name} TEXT" for name in COLUMNS)});
CREATE INDEX study_patient ON study (patient_id);
CREATE TABLE series (
  entry INTEGER PRIMARY KEY, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
  modality TEXT NOT NULL, attributes TEXT NOT NULL, UNIQUE (study_uid, series_uid));
"""
_PUT_STUDY: Final = f"INSERT OR REPLACE INTO study VALUES ({', '.join('?' * (3 + len(COLUMNS)))})"  # noqa: S608 - a constant
_STUDIES: Final = f"""
SELECT entry, study_uid, attributes,
  (SELECT group_concat(DISTINCT modality) FROM series s WHERE s.study_uid = study.study_uid)
FROM study WHERE entry < ? AND {{}} ORDER BY entry DESC LIMIT {PAGE}
"""  # noqa: S608 - a constant; conditions hold no values
_PUT_SERIES: Final = "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)"


def sealed_row(entry: SeriesEntry, key: PrimaryKey) -> CatalogueRow:
    """The entry as a row of the ledger; hold the key until it is written."""
    study, series = entry.study_instance_uid, entry.series_instance_uid
    plain = _written(entry.attributes).encode("utf-8", "surrogatepass")
    sealed = key.seal(plain, bound_to(study, series))
    return CatalogueRow(0, study, series, entry.sop_instance_uid, sealed)


def unsealed(row: CatalogueRow, keys: KeyRing) -> Attributes:
    """The attributes in a row that has some. Raises RecordDamaged, StoreDown."""
    assert row.sealed is not None
    place = bound_to(row.study_instance_uid, row.series_instance_uid)
    return _read(keys.unseal(row.sealed, place).decode("utf-8", "surrogatepass"))


class Catalogue:
    """What is held, to be searched; empty until it is `follow`ed."""

    def __init__(self, ledger: Ledger, keys: KeyRing) -> None:
        self._ledger = ledger
        self._keys = keys
        self._lock = threading.Lock()
        self._memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._memory.executescript(_SCHEMA)
        self._followed = 0
        self.damaged = 0
        """Rows that could not be unsealed, and are not listed."""

    def follow(self, pause: Callable[[], None] = lambda: None) -> None:
        """Take in what changed in the ledger; `pause` is called between batches. StoreDown."""
        while True:
            with self._lock:
                rows = self._ledger.catalogue_after(self._followed, FOLLOW_ROWS)
                if not rows:
                    return
                self._memory.execute("BEGIN")
                for row in rows:
                    self._take(row)
                self._memory.execute("COMMIT")
                self._followed = rows[-1].entry_id
            pause()

    def _take(self, row: CatalogueRow) -> None:
        study, series = row.study_instance_uid, row.series_instance_uid
        memory = self._memory
        if row.sealed is not None:
            try:
                attributes = unsealed(row, self._keys)
            except (RecordDamaged, StoreDown):
                self.damaged += 1
                return
            above = {tag: text for tag, text in attributes.items() if tag in _ABOVE_SERIES}
            below = {tag: text for tag, text in attributes.items() if tag not in _ABOVE_SERIES}
            columns = column_values(above)
            memory.execute(_PUT_STUDY, (row.entry_id, study, _written(above), *columns))
            modality = below.get(MODALITY, "")
            memory.execute(_PUT_SERIES, (row.entry_id, study, series, modality, _written(below)))
            return
        memory.execute("DELETE FROM series WHERE study_uid = ? AND series_uid = ?", (study, series))
        memory.execute(
            "DELETE FROM study WHERE study_uid = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM series WHERE study_uid = ?1)",
            (study,),
        )

    def studies(
        self, keys: Identifier, goes_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[str, Attributes, tuple[str, ...]]]:
        """(study UID, attributes, modalities) of what may match, the latest first; a superset.

        `goes_on` is asked before each page; the search ends when it says no.
        """
        before = LATEST
        while goes_on():
            rows = self.page(keys, before)
            for entry, study, attributes, modalities in rows:
                before = entry
                yield study, attributes, modalities
            if len(rows) < PAGE:
                return

    def page(
        self, keys: Identifier, before: int
    ) -> list[tuple[int, str, Attributes, tuple[str, ...]]]:
        """The next PAGE as `studies` gives them, each with its entry, of entries below `before`."""
        where, parameters = conditions(keys)
        return [
            (
                entry,
                study,
                _read(attributes),
                tuple(sorted(filter(None, (modalities or "").split(",")))),
            )
            for entry, study, attributes, modalities in self._rows(
                _STUDIES.format(where), (before, *parameters)
            )
        ]

    def series(self, study_instance_uid: str) -> Iterator[tuple[str, Attributes]]:
        """(series UID, attributes of the series alone) of a study, in the order they came."""
        rows = self._rows(
            "SELECT series_uid, attributes FROM series WHERE study_uid = ? ORDER BY entry",
            (study_instance_uid,),
        )
        for series, attributes in rows:
            yield series, _read(attributes)

    def study(self, study_instance_uid: str) -> Attributes | None:
        """The attributes of one study and its patient; None when nothing of it is held."""
        statement = "SELECT attributes FROM study WHERE study_uid = ?"
        rows = self._rows(statement, (study_instance_uid,))
        return _read(rows[0][0]) if rows else None

    def studies_of_patient(self, patient_id: str, issuer: str) -> tuple[str, ...]:
        """The UIDs of everything held of a patient."""
        statement = "SELECT study_uid FROM study WHERE patient_id = ? AND issuer = ?"
        return tuple(row[0] for row in self._rows(statement, (patient_id, issuer)))

    def close(self) -> None:
        """Forget everything; harmless when closed."""
        with self._lock:
            self._memory.close()

    def _rows(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._memory.execute(statement, parameters).fetchall()


def bound_to(study: str, series: str) -> bytes:
    """What the sealed description of a series is bound to."""
    return b"catalogue\0" + f"{study}\0{series}".encode("utf-8", "surrogatepass")


def _written(attributes: Attributes) -> str:
    texts = {f"{tag:08X}": text for tag, text in attributes.items()}
    return json.dumps(texts, separators=(",", ":"), ensure_ascii=False)


def _read(text: str) -> Attributes:
    return {int(tag, 16): value for tag, value in json.loads(text).items()}
