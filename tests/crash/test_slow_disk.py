"""F8: a disk whose syncs take a third of a second: the senders share them, and all are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import intake_worker
from tests.support.load import renumbered, template
from tests.support.process import Process, wait_until
from tests.support.roles import role_pids
from tests.support.router_process import Router
from tests.support.sender import Sender
from tests.support.storescp import StoreScp

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not intake_worker.is_possible(), reason="LOUD: strace is missing"),
]
SYNCS = "fsync,fdatasync"
DELAY_MICROSECONDS = 300_000
SENDERS, OBJECTS = 16, 2


@contextmanager
def slow_syncs(pid: int, folder: Path) -> Iterator[Path]:
    """Make the syncs of a process slow; a line in the file for each of them."""
    trace = folder / "syncs"
    command = ["strace", "-f", "-p", str(pid), "-o", str(trace), "-e", f"trace={SYNCS},pwritev2"]
    tracer = Process(
        [*command, "-e", f"inject={SYNCS}:delay_exit={DELAY_MICROSECONDS}"], folder / "strace.log"
    )
    try:
        wait_until(lambda: b"attached" in tracer.errors.read_bytes(), 10, what="strace attaches")
        yield trace
    finally:
        tracer.kill()


def test_F8_senders_share_the_syncs_of_a_slow_disk(
    router: Callable[..., Router], storescp: Callable[..., StoreScp], tmp_path: Path
) -> None:
    destination = storescp()
    edge = router(destination=destination.port)
    statuses: list[int] = []
    item = template(1, rows=16, columns=16)
    contexts = [(item.sop_class_uid, [item.transfer_syntax_uid])]

    def scan(first: int) -> None:
        with Sender(edge.port, contexts) as sender:
            for number in range(first, first + OBJECTS):
                uid, data_set = renumbered(item, number)
                statuses.append(
                    sender.store(item.sop_class_uid, uid, item.transfer_syntax_uid, [data_set])
                )

    scan(10_000)
    with slow_syncs(role_pids(edge)["receive"], tmp_path) as trace:
        threads = [
            threading.Thread(target=scan, args=(number * OBJECTS,)) for number in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        said = trace.read_text()

    assert statuses == [0] * (OBJECTS + SENDERS * OBJECTS)
    # The write of a record alone is its own sync, and is not slowed; all others are.
    assert 0 < said.count("(DELAYED)")
    assert said.count("(DELAYED)") + said.count("RWF_DSYNC") <= SENDERS * OBJECTS / 2
    edge.wait_until_drained()
    assert len(destination.received_uids()) == OBJECTS + SENDERS * OBJECTS
