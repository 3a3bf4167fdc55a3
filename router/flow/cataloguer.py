"""Cataloguer: describes what was received, behind everything else.

One thread looks at the instances that were booked since it last looked, reads one header of each
series that the catalogue lacks, and writes the sealed rows in batches; receiving never waits for
it. A crash costs nothing: it goes on from the catalogue's mark.
"""

from __future__ import annotations

import threading
from typing import Final

from router.clock import Clock
from router.errors import BadDataset, MorphFailed, StoreDown, StoreFull
from router.flow.held import HeldHeaders
from router.model.catalogue import PATIENT_TAGS, SERIES_TAGS, STUDY_TAGS, SeriesEntry
from router.store.catalogue import sealed_row
from router.store.keys import KeyRing, PrimaryKey
from router.store.ledger import CatalogueRow, Ledger, Stored
from router.store.records import RecordDamaged
from router.telemetry.log import Log

LOOK_SECONDS: Final = 0.5
TROUBLE_SECONDS: Final = 5.0
BATCH_INSTANCES: Final = 500
_TAGS: Final = PATIENT_TAGS | STUDY_TAGS | SERIES_TAGS


class Cataloguer:
    """Writes the catalogue; `run` is its thread."""

    def __init__(
        self,
        ledger: Ledger,
        headers: HeldHeaders,
        keys: KeyRing,
        clock: Clock,
        log: Log,
        stop: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._headers = headers
        self._keys = keys
        self._clock = clock
        self._log = log
        self._stop = stop

    def run(self) -> None:
        """Look again and again until told to stop. A store in trouble is told and tried again."""
        wait_seconds = 0.0
        while not self._clock.wait(self._stop, wait_seconds):
            try:
                while self.catalogue() and not self._stop.is_set():
                    pass
                wait_seconds = LOOK_SECONDS
            except (StoreDown, StoreFull) as error:
                self._log.error("the catalogue cannot be written", reason=str(error))
                wait_seconds = TROUBLE_SECONDS

    def catalogue(self) -> bool:
        """Describe what one batch of instances brought; whether there was one."""
        news = self._ledger.unlisted(BATCH_INSTANCES)
        if news is None:
            return False
        key = self._keys.primary
        rows = [row for held in news.instances if (row := self._row(held, key)) is not None]
        self._ledger.put_catalogue(news.mark, rows)
        return True

    def _row(self, held: Stored, key: PrimaryKey) -> CatalogueRow | None:
        instance = held.instance
        try:
            attributes = self._headers.attributes(held, _TAGS)
            attributes |= self._headers.identity_as_it_came(held)
        except (RecordDamaged, BadDataset, MorphFailed) as error:
            self._log.warning(
                "a series is not in the catalogue",
                series_instance_uid=instance.series_instance_uid,
                reason=str(error),
            )
            return None
        entry = SeriesEntry(
            instance.study_instance_uid,
            instance.series_instance_uid,
            instance.sop_instance_uid,
            attributes,
        )
        return sealed_row(entry, key)
