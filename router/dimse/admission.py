"""How many may be connected, and how many of them associated; and all that is counted.

A connection is pending until a complete, authorised request made it an association, and again
once it was refused. Pending connections are bounded by throwing out the oldest one of the address
that has most of them, so silent sockets never keep a caller out. Associations are bounded in all,
by address and by calling AE title. Safe to call from any thread; nothing here blocks.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from router.dimse.handlers import Counts
from router.dimse.wire import Wire
from router.model.listener import AssociationLimits


@dataclass(eq=False, slots=True)
class Connection:
    """One accepted connection. `calling_ae_title` is set once it is an association."""

    wire: Wire
    address: str
    accepted_at: float
    calling_ae_title: str | None = None
    evicted: bool = field(default=False)


class Admission:
    """The books of one listener."""

    def __init__(self, limits: AssociationLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._connections: dict[Connection, None] = {}
        self._open = 0
        self._pending_by_address: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._by_ae_title: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()

    def enter(self, connection: Connection) -> None:
        """A new connection; if there are too many pending ones, another one is ended for it."""
        victim = None
        with self._lock:
            self._totals["connections"] += 1
            if self._pending_by_address.total() >= self._limits.pending_connections:
                victim = self._victim()
            self._connections[connection] = None
            self._pending_by_address[connection.address] += 1
        if victim is not None:
            victim.wire.interrupt()

    def _victim(self) -> Connection | None:
        """The oldest pending connection of the address with most of them, taken off the books."""
        address = self._pending_by_address.most_common(1)[0][0]
        for connection in self._connections:
            if (
                connection.address == address
                and connection.calling_ae_title is None
                and not connection.evicted
            ):
                connection.evicted = True
                self._refused["evicted"] += 1
                self._drop(self._pending_by_address, address)
                return connection
        return None

    def admit(self, connection: Connection, calling_ae_title: str) -> str | None:
        """Give the connection an association slot; or the name of the limit that is reached."""
        limits = self._limits
        with self._lock:
            if self._open >= limits.associations:
                return "limit_total"
            if self._by_address[connection.address] >= limits.associations_per_address:
                return "limit_address"
            if self._by_ae_title[calling_ae_title] >= limits.associations_per_ae_title:
                return "limit_ae_title"
            connection.calling_ae_title = calling_ae_title
            if not connection.evicted:
                self._drop(self._pending_by_address, connection.address)
            self._open += 1
            self._by_address[connection.address] += 1
            self._by_ae_title[calling_ae_title] += 1
            self._totals["associations"] += 1
        return None

    def leave(self, connection: Connection) -> None:
        """The connection is gone; its slot, if it had one, is free."""
        with self._lock:
            self._connections.pop(connection, None)
            if connection.calling_ae_title is not None:
                self._open -= 1
                self._drop(self._by_address, connection.address)
                self._drop(self._by_ae_title, connection.calling_ae_title)
            elif not connection.evicted:
                self._drop(self._pending_by_address, connection.address)

    def refuse(self, reason: str) -> None:
        """Count a refusal under its reason."""
        with self._lock:
            self._refused[reason] += 1

    def abort(self) -> None:
        """Count an association that ended by an A-ABORT, a lost connection or a deadline."""
        with self._lock:
            self._totals["aborted"] += 1

    def stored(self, data_set_bytes: int, *, failed: bool) -> None:
        """Count one answered instance."""
        with self._lock:
            self._totals["instances"] += 1
            self._totals["bytes"] += data_set_bytes
            self._totals["failed"] += failed

    def connections(self) -> tuple[Connection, ...]:
        """All there are now, pending or associated."""
        with self._lock:
            return tuple(self._connections)

    def counts(self) -> Counts:
        """The numbers now."""
        with self._lock:
            return Counts(
                pending=self._pending_by_address.total(),
                open=self._open,
                refused=dict(self._refused),
                **{
                    name: self._totals[name]
                    for name in (
                        "connections",
                        "associations",
                        "aborted",
                        "instances",
                        "failed",
                        "bytes",
                    )
                },
            )

    @staticmethod
    def _drop(counter: Counter[str], key: str) -> None:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]
