"""The inside of a router in the process of the test: everything real but the sockets.

`Edge` is one data directory with its journal, ledger, intake, indexer and dispatcher, under a plan
compiled from text. `Neighbour` is a station kind of the tests: a peer in this process that answers
each parcel from a script and keeps the bytes it was given.
"""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from router.clock import Clock
from router.errors import RouterError
from router.flow.deliver import Courier, RouterNames
from router.flow.dispatch import Dispatcher
from router.flow.indexer import Indexer
from router.flow.intake import Answer, Arrival, Intake
from router.flow.received import ReceiveHooks
from router.flow.statuses import Statuses
from router.model.delivery import Leased, Outcome, Priority, Result
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import StationKind
from router.model.station import Station
from router.peers.peer import Parcel, Peer, PeerContext, Probe, failure_outcome, not_sent
from router.pixels.codecs import Codecs
from router.plugs import morphs
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from router.threads import Threads
from tests.support.configuration import loaded
from tests.support.process import wait_until
from tests.support.store_making import Store, open_store
from tests.support.synthetic import Synthetic

MAPPING_KEY = b"the key of the tests"
SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
rules:
  - {name: everything, route: [pacs]}
"""
CT1 = Source("lan", "CT1", "EDGE", "10.0.0.1", "ct-1")
STATION_TROUBLE = frozenset({Result.BUSY, Result.UNREACHABLE, Result.HOLD})


def plan_of(folder: Path, site: str = SITE) -> Plan:
    """The plan of this text; AssertionError with its problems when there is none."""
    found = loaded(folder, site)
    assert found.plan is not None, found.render()
    return found.plan


def pieces(data: bytes, size: int = 4000) -> Iterator[memoryview]:
    """The data as an association hands it over: slices of one buffer that is used again."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]
    buffer[:] = b"\xff" * size


def arrival(found: Synthetic, source: Source = CT1, **changes: str) -> Arrival:
    """The request for this object; `changes` make it lie."""
    facts = {
        "sop_class_uid": found.sop_class_uid,
        "sop_instance_uid": found.sop_instance_uid,
        "transfer_syntax_uid": found.transfer_syntax_uid,
    }
    return Arrival(source, **(facts | changes))


@dataclass(frozen=True)
class Received:
    """One object a neighbour was given."""

    sop_instance_uid: str
    data: bytes
    priority: Priority
    attempts: int


Script = Callable[[Parcel, int], Outcome]


def accept(parcel: Parcel, _number: int) -> Outcome:
    """Success, for each."""
    return Outcome(parcel.leased.delivery_id, Result.DELIVERED, "", 0)


def always(result: Result, message: str = "", **words: object) -> Script:
    """The same for each."""
    return lambda parcel, _: Outcome(parcel.leased.delivery_id, result, message, **words)  # type: ignore[arg-type]


class Neighbour:
    """A station that answers from a script (parcel, how many came before), and what it was given.

    `gate` is open unless a test closes it: a closed one keeps every answer back. What `alive` says
    is what a probe finds. `unmakeable` is raised by whoever makes a peer for it.
    """

    def __init__(self, script: Script = accept) -> None:
        self.script = script
        self.alive = True
        self.unmakeable: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.received: list[Received] = []
        self.batches: list[int] = []
        self.probes = self.busy_lanes = self.most_lanes = self.opened = self.closed = 0
        self.at_gate = 0
        self._lock = threading.Lock()

    def kind(self) -> StationKind:
        """The plug."""
        return StationKind("neighbour", "In the process of a test.", {}, "{}", self._make)

    def uids(self) -> list[str]:
        """What it was given, in order."""
        return [one.sop_instance_uid for one in self.received]

    def _make(self, station: Station, context: PeerContext) -> Peer:
        if self.unmakeable is not None:
            raise self.unmakeable
        self.opened += 1
        return _Peer(self)

    def take(self, parcel: Parcel) -> Outcome:
        """One parcel, as a peer treats it: an error of the router's own becomes an outcome."""
        try:
            data = b"".join(map(bytes, parcel.outgoing(None).chunks()))
        except RouterError as error:
            return failure_outcome(parcel.leased.delivery_id, error)
        with self._lock:
            number = len(self.received)
            leased = parcel.leased
            self.received.append(
                Received(leased.sop_instance_uid, data, leased.priority, leased.attempts)
            )
            self.at_gate += 1
        assert self.gate.wait(30)
        with self._lock:
            self.at_gate -= 1
        return self.script(parcel, number)


class _Peer:
    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour

    def probe(self) -> Probe:
        self._neighbour.probes += 1
        alive = self._neighbour.alive
        return Probe(alive, 0.0, "it answers" if alive else "connection refused")

    def send(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        neighbour = self._neighbour
        neighbour.busy_lanes += 1
        neighbour.most_lanes = max(neighbour.most_lanes, neighbour.busy_lanes)
        neighbour.batches.append(len(parcels))
        trouble = None
        try:
            for parcel in parcels:
                outcome = (
                    not_sent(parcel.leased.delivery_id, trouble)
                    if trouble
                    else neighbour.take(parcel)
                )
                if outcome.result in STATION_TROUBLE:
                    trouble = trouble or outcome
                yield outcome
        finally:
            neighbour.busy_lanes -= 1

    def idle(self) -> None:
        return

    def close(self) -> None:
        self._neighbour.closed += 1


class Edge:
    """A router without sockets. `clock` is that of dispatcher, ledger and instances."""

    def __init__(self, folder: Path, site: str = SITE, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock = clock or Clock()
        self.plan = plan_of(folder / "config", site)
        boot_id = uuid.uuid4().hex
        self.store: Store = open_store(folder / "data", clock=self.clock, boot_id=boot_id)
        self.journal, self.ledger = self.store.journal, self.store.ledger
        self.metrics = Metrics()
        self.crashes: list[BaseException] = []
        self.threads = Threads(lambda _name, error: self.crashes.append(error))
        self.codecs = Codecs()
        self._said = io.StringIO()
        self.log = open_log(self._said, "json", {})
        # Its waits are real even where the test moves the clock by hand.
        self.indexer = Indexer(self.ledger, self.ring, self.threads.stop, Clock())
        self.intake = Intake(
            lambda: self.plan,
            self.journal,
            self.indexer,
            ReceiveHooks({plug.name: plug for plug in morphs()}, MAPPING_KEY),
            self.clock,
            self.log,
            self.metrics,
        )
        self.dispatcher: Dispatcher | None = None
        self.indexing: threading.Thread | None = None

    def ring(self) -> None:
        """Wake the dispatcher, as the bell of the receiving process does."""
        if self.dispatcher is not None:
            self.dispatcher.ring()

    def take(
        self, found: Synthetic, source: Source = CT1, *, size: int = 4000, **lies: str
    ) -> Answer:
        """One object through the intake; what its sender hears."""
        return self.intake.take(arrival(found, source, **lies), pieces(found.data_set, size))

    def index(self) -> None:
        """Book what waits, in this thread."""
        indexer = Indexer(self.ledger, self.ring, self.threads.stop, Clock())
        while self.indexer._waiting:
            indexer.put(self.indexer._waiting.popleft())
        indexer.close()
        indexer.run()

    def keep(self, *found: Synthetic, source: Source = CT1) -> None:
        """Take and book objects that must be accepted."""
        for one in found:
            answer = self.take(one, source)
            assert answer.status == 0, answer
        self.index()

    def lines(self, event: str = "") -> list[dict[str, object]]:
        """The log, or its lines of this event."""
        found = [json.loads(line) for line in self._said.getvalue().splitlines()]
        return [line for line in found if not event or line["event"] == event]

    def courier(self) -> Courier:
        """What opens records and applies recipes, with every step of the product."""
        return Courier(
            self.journal,
            self.ledger,
            {plug.name: plug for plug in morphs()},
            RouterNames(self.plan.router.name, self.plan.router.organization, MAPPING_KEY),
            self.codecs,
        )

    def lease(self, station: str = "pacs", count: int = 1000) -> tuple[Leased, ...]:
        """The next deliveries of a station, taken by hand."""
        return self.ledger.turn([], {station: count}, self.clock.now())

    @contextmanager
    def dispatching(self, **neighbours: Neighbour) -> Iterator[Dispatcher]:
        """A dispatcher at work between these stations; afterwards it is stopped in order."""
        kinds = {name.replace("_", "-"): one.kind() for name, one in neighbours.items()}
        self.dispatcher = Dispatcher(
            self.plan,
            self.ledger,
            self.courier(),
            lambda station: kinds[station.name].make(station, None),
            Statuses(self.plan.stations.values(), self.ledger, self.clock, self.log, self.metrics),
            self.threads,
            self.clock,
            self.log,
            self.metrics,
        )
        running = self.threads.start("dispatch", self.dispatcher.run)
        try:
            yield self.dispatcher
        finally:
            for one in neighbours.values():
                one.gate.set()
            self.threads.stop.set()
            self.dispatcher.ring()
            running.join(20)
            assert not running.is_alive(), "the dispatcher does not end"
            assert self.threads.join(20), self.threads.alive()

    def deliveries(self) -> dict[str, int]:
        """Deliveries by state, where there are any."""
        return {name: n for name, n in self.ledger.account().deliveries.items() if n}

    def wait_for(self, timeout_seconds: float = 10.0, **counts: int) -> None:
        """Wait until so many deliveries are in these states."""

        def reached() -> bool:
            self.ring()
            found = self.ledger.account().deliveries
            return all(found[state] == count for state, count in counts.items())

        try:
            wait_until(reached, timeout_seconds, what=str(counts))
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.deliveries()}, {self.crashes}") from None

    def close(self) -> None:
        """Close the store; its account must balance and nothing may have crashed."""
        self.codecs.close()
        try:
            assert self.ledger.account().differences == ()
            assert self.crashes == []
        finally:
            self.store.close()
