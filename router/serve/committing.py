"""Storage commitment of one role: its tables in the ledger's file, and what works on them."""

from __future__ import annotations

from collections.abc import Callable

from router.flow.commitment import CommitmentProvider, Reports
from router.flow.committing import Committer
from router.flow.statuses import Statuses
from router.model.station import Station
from router.peers.peer import Peer
from router.serve.process import Role
from router.store.commitment_requests import CommitmentRequests
from router.store.commitments import CommitmentBook


class Commitments:
    """What stations ask of us and we of them, for the process of a role."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._book = CommitmentBook.open(role.places.ledger, role.clock)
        self._requests = CommitmentRequests.open(role.places.ledger, role.clock)
        self._reports = Reports(self._requests, role.clock, role.log, role.metrics)

    def provider(self, ring: Callable[[], None]) -> CommitmentProvider:
        """What answers stations; `ring` tells the committer that there is something to do."""
        role = self._role
        return CommitmentProvider(
            lambda: role.plan, self._book, self._reports, ring, role.log, role.metrics
        )

    def committer(self, make_peer: Callable[[Station], Peer], statuses: Statuses) -> Committer:
        """What verifies, asks and reports."""
        role = self._role
        return Committer(
            role.plan,
            self._book,
            self._requests,
            self._reports,
            make_peer,
            statuses,
            role.threads,
            role.clock,
            role.log,
            role.metrics,
        )

    def close(self) -> None:
        """Close the tables; harmless when closed."""
        self._book.close()
        self._requests.close()
