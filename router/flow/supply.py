"""Supply: what is to be handed out, as it becomes known; all at once where it is held here."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from router.store.ledger import HeldVersion


@dataclass(frozen=True, slots=True)
class Batch:
    """The next of it; SOP Instance UIDs of what cannot be had; how many are still to come."""

    versions: tuple[HeldVersion, ...]
    missing: tuple[str, ...] = ()
    to_come: int = 0


class Supply:
    """Batches, taken when there is time for more. One thread."""

    def __init__(
        self,
        batches: Generator[Batch, None, None],
        station: str = "",
        study_instance_uid: str = "",
    ) -> None:
        """`station` is whom it is fetched from, where that is not here; `study_instance_uid` of what."""
        self._batches = batches
        self.station = station
        self.study_instance_uid = study_instance_uid
        self.missing: list[str] = []
        self.to_come = 0
        self.is_over = False

    def more(self) -> tuple[HeldVersion, ...]:
        """What came since; waits a quarter of a second at most. Raises what the batches raise."""
        batch = next(self._batches, None)
        if batch is None:
            self.is_over, self.to_come = True, 0
            return ()
        self.missing += batch.missing
        self.to_come = batch.to_come
        return batch.versions

    def close(self) -> None:
        """Fetch nothing more; harmless after the end."""
        self._batches.close()


def at_once(versions: tuple[HeldVersion, ...]) -> Generator[Batch, None, None]:
    """All of it in one batch."""
    yield Batch(versions)
