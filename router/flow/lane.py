"""Lane: one thread that sends to one station, batch after batch, over one warm connection.

Outcomes go back to the dispatcher one by one, as the peer answers. A bug of ours in one parcel is
an outcome too (tried again, later and later): it must not end the lane of a whole station.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from router.clock import Clock
from router.errors import RouterError
from router.flow.deliver import Courier
from router.flow.desk import Desk
from router.model.delivery import Leased, Outcome, Result
from router.peers.peer import Peer, failure_outcome
from router.telemetry.log import Log

IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One outcome, with the seconds since the batch was begun."""

    leased: Leased
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A lane finished a batch; `clean` when every delivery of it succeeded."""

    station: str
    clean: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe came back: `ok`, or `message` says why not. The dispatcher's own, or a heartbeat."""

    station: str
    ok: bool
    message: str
    is_heartbeat: bool = False


Report = Sent | BatchEnded | Probed


class Lane:
    """The work of one sending thread; `run` ends when the desk has nothing more for it."""

    def __init__(
        self,
        desk: Desk,
        make_peer: Callable[[], Peer],
        courier: Courier,
        report: Callable[[Report], None],
        lanes_allowed: Callable[[], int],
        clock: Clock,
        log: Log,
    ) -> None:
        self._desk = desk
        self._make_peer = make_peer
        self._courier = courier
        self._report = report
        self._lanes_allowed = lanes_allowed
        self._clock = clock
        self._log = log
        self._peer: Peer | None = None

    def run(self) -> None:
        """Send batches until there is nothing to send for a while."""
        with ExitStack() as at_end:
            while batch := self._desk.take(self._lanes_allowed(), IDLE_SECONDS):
                clean = self._send(at_end, batch)
                self._report(BatchEnded(batch[0].station, clean))

    def _warm_peer(self, at_end: ExitStack) -> Peer:
        """The peer of this lane, made for its first batch; a kind that cannot make one raises."""
        if self._peer is None:
            self._peer = self._make_peer()
            at_end.callback(self._peer.close)
        return self._peer

    def _send(self, at_end: ExitStack, batch: Sequence[Leased]) -> bool:
        open_deliveries = {leased.delivery_id: leased for leased in batch}
        began = self._clock.monotonic()
        clean = True

        def hand_back(outcome: Outcome) -> None:
            leased = open_deliveries.pop(outcome.delivery_id, None)
            if leased is not None:
                self._desk.done(leased)
                self._report(Sent(leased, outcome, self._clock.monotonic() - began))

        try:
            peer = self._warm_peer(at_end)
            with self._courier.parcels(batch) as parcels:
                for outcome in peer.send(parcels):
                    clean = clean and outcome.result is Result.DELIVERED
                    hand_back(outcome)
        except RouterError as error:
            # Peers raise for no parcel: this one could not even be made, for a secret or a file.
            for delivery_id in tuple(open_deliveries):
                clean = False
                hand_back(failure_outcome(delivery_id, error))
        except Exception as error:  # noqa: BLE001 - lane boundary: a bug costs a try, not the station
            self._log.bug("sending failed", error)
            clean = False
        for delivery_id in tuple(open_deliveries):
            clean = False
            hand_back(
                Outcome(delivery_id, Result.RETRY, "internal error while sending, see the log")
            )
        return clean
