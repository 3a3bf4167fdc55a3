"""The hot operations, each over real parts: a journal and a ledger on disk, the plan of the bench.

`counted` gives the calls one run of an operation makes, of Python and of C functions alike: the same
number on any machine and under any load, and nearly all of what an instance costs in an interpreter.
"""

from __future__ import annotations

import dataclasses
import io
import os
import string
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from router.clock import Clock
from router.dicom.header import HeaderReader
from router.dimse.command import parse, store_request
from router.dimse.fragments import command_pdus, data_batches
from router.flow.deliver import Courier, RouterNames
from router.flow.intake import Arrival, Intake
from router.flow.received import ReceiveHooks
from router.model.delivery import Leased, Outcome, Priority, Result, State
from router.model.instance import Source
from router.pixels.codecs import Codecs
from router.plugs import morphs
from router.store.envelope import decode, encode
from router.store.journal import Journal
from router.store.keys import KeyRing
from router.store.ledger import Indexed, Settlement
from router.store.room import Room
from router.store.sqlite_ledger import SqliteLedger
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from tests.bench.routers import SITE
from tests.support import synthetic
from tests.support.configuration import loaded

EXPLICIT = "1.2.840.10008.1.2.1"
BATCH, WINDOW = 32, 16
_CHUNK = 64 * 1024


def counted(operation: Callable[[], object]) -> int:
    """Calls made by one run, after two that fill caches."""
    operation()
    operation()
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return calls - 1  # the call that ends the counting


class _Kept:
    """Stands where the indexer does: what was accepted is kept for the operations that follow."""

    def __init__(self) -> None:
        self.entries: list[Indexed] = []

    def check(self) -> None:
        pass

    def put(self, entry: Indexed) -> None:
        self.entries.append(entry)


def operations(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, operation), each to be run any number of times."""
    text = string.Template(SITE).substitute(
        data_dir=folder / "data", port=11112, http_port=8080, destination=11113,
        marker="x", modalities="CT, MR", station="pacs", tls="", limits="",
    )  # fmt: skip
    (folder / "data").mkdir()
    plan = loaded(folder / "site", text, base="").plan
    assert plan is not None
    item = synthetic.instance(1, modality="MR", rows=180, columns=180)
    views = [
        memoryview(item.data_set)[at : at + _CHUNK] for at in range(0, len(item.data_set), _CHUNK)
    ]

    def header() -> HeaderReader:
        reader = HeaderReader(EXPLICIT, plan.needs)
        for view in views:
            reader.feed(view)
        reader.finish()
        return reader

    yield "read the header of a 64 KB object", header

    clock, kept = Clock(), _Kept()
    room = Room(folder / "data", clock)
    journal = Journal(folder / "data", KeyRing.open(folder / "data" / "keys"), plan.store, room)
    log = open_log(io.StringIO(), "json", {})
    intake = Intake(lambda: plan, journal, kept, ReceiveHooks({}), clock, log, Metrics())  # type: ignore[arg-type]
    source = Source("lan", "CT1", "EDGE_A", "127.0.0.1", "ct-1")
    arrival = Arrival(source, item.sop_class_uid, item.sop_instance_uid, EXPLICIT)
    yield (
        "accept an object: read, decide, seal, write, sync",
        lambda: intake.take(arrival, iter(views)),
    )

    entry = kept.entries[0]
    octets = encode(entry.instance, entry.decision, entry.plan_digest)
    yield "write an envelope", lambda: encode(entry.instance, entry.decision, entry.plan_digest)
    yield "read an envelope", lambda: decode(octets)

    ledger = SqliteLedger.open(folder / "ledger.db", clock, "boot")
    numbers = iter(range(10**9))

    def fresh(_: int) -> Indexed:
        number = next(numbers)
        ref = dataclasses.replace(entry.ref, offset=number * 70_000, record_id=os.urandom(16))
        instance = dataclasses.replace(
            entry.instance, sop_instance_uid=f"1.2.{number}", content_digest=os.urandom(32)
        )
        return dataclasses.replace(entry, ref=ref, instance=instance)

    batches = [[fresh(one) for one in range(BATCH)] for _ in range(8)]
    waiting = iter(batches)
    yield f"index {BATCH} records", lambda: ledger.index(next(waiting))

    held: list[tuple[Leased, ...]] = [()]

    def turn() -> None:
        outcomes = [
            Settlement(Outcome(one.delivery_id, Result.DELIVERED, "", 0), None, State.DELIVERED)
            for one in held[0]
        ]
        held[0] = ledger.turn(outcomes, {"pacs": WINDOW}, clock.now())

    yield f"settle {WINDOW} deliveries and lease as many", turn

    names = RouterNames("edge", "", b"key")
    courier = Courier(journal, ledger, {plug.name: plug for plug in morphs()}, names, Codecs())
    owed = entry.decision.owed[0]
    leased = Leased(
        1, 1, "pacs", owed.recipe.digest, Priority.MEDIUM, 0, 0.0, entry.ref,
        entry.instance.sop_class_uid, entry.instance.sop_instance_uid,
        entry.instance.study_instance_uid, EXPLICIT, entry.instance.data_set_length,
    )  # fmt: skip

    def deliver() -> None:
        with courier.parcels([leased]) as (parcel,):
            outgoing = parcel.outgoing(None)
            command = store_request(1, outgoing.sop_class_uid, outgoing.sop_instance_uid, 0)
            first = command_pdus(1, command, 131_066)
            for _ in data_batches(first, outgoing.chunks(), 1, 131_066, outgoing.length):
                pass

    yield "make an outgoing object with three changed tags, as PDUs", deliver
    request = store_request(7, item.sop_class_uid, item.sop_instance_uid, 0)
    yield "read a command set", lambda: parse(request)
