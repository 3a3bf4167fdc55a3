"""What the journal promises, whoever keeps it.

A record holds the data set as received and the decision about it. `commit` returns only when the
record is on stable storage; before that nothing may be acknowledged, and after a crash a record
that was not committed is gone. StoreFull: no room, try later. StoreDown: nothing can be kept now.
RecordDamaged: the bytes are not what was written; no other bytes are ever handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from router.errors import RouterError
from router.model.instance import RecordRef

Octets = bytes | bytearray | memoryview


class RecordDamaged(RouterError):
    """A record is missing, torn, swapped or altered; it must be neither served nor sent."""

    retry = False
    scope = "instance"


class Writer(Protocol):
    """One record being written by one thread. Ends with exactly one of commit and abandon."""

    @property
    def data_set_length(self) -> int:
        """Bytes of data set appended so far."""

    def append(self, view: Octets) -> None:
        """Append a stretch of the data set; the view is not kept. Raises StoreFull, StoreDown."""

    def digest(self) -> bytes:
        """BLAKE3 of the data set so far, 32 bytes."""

    def commit(self, envelope: bytes) -> RecordRef:
        """Seal the envelope behind the data set and wait for stable storage.

        Raises StoreFull or StoreDown; the record is then void and the writer ended.
        """

    def abandon(self) -> None:
        """Forget the record; nothing of it stays on disk. Harmless after the end."""


class Record(Protocol):
    """One stored record, open for reading."""

    @property
    def length(self) -> int:
        """Bytes of the data set."""

    def envelope(self) -> bytes:
        """The envelope as it was committed. Raises RecordDamaged."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the data set; fewer at its end. Raises RecordDamaged."""

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The data set from start to end, in order; each view is valid until the next is asked for.

        Raises RecordDamaged.
        """

    def close(self) -> None:
        """Let go of the record; harmless when closed."""


class Journal(Protocol):
    """Where records are kept."""

    @property
    def broken(self) -> bool:
        """Stable storage failed twice: this process must end."""

    def begin(self, expected_bytes: int = 0) -> Writer:
        """A writer for one record. Raises StoreFull above the watermark, StoreDown."""

    def open(self, ref: RecordRef) -> Record:
        """The record at that place. Raises RecordDamaged when it is not there or not that one."""

    def close(self) -> None:
        """Close every segment; what was not committed is gone."""
