"""One gigabyte in and out: the same bytes, and never more than a little of it in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest

from tests.support import synthetic
from tests.support.process import memory_peak_bytes, reset_memory_peak
from tests.support.router_process import Router
from tests.support.sender import Sender
from tests.support.storescp import StoreScp

pytestmark = pytest.mark.peers
GIGABYTE = 1 << 30
MEMORY_OVER_IDLE_BYTES = 150 << 20


def test_F11_a_gigabyte_passes_through_little_memory(
    router: Callable[..., Router], storescp: Callable[..., StoreScp]
) -> None:
    destination = storescp()
    edge = router(destination=destination.port)
    assert edge.process is not None
    processes = edge.process.group()
    idle = {}
    for pid in processes:
        reset_memory_peak(pid)
        idle[pid] = memory_peak_bytes(pid)

    facts, chunks = synthetic.large_chunks(8, GIGABYTE)
    digest = hashlib.sha256()

    def watched() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk

    contexts = [(facts.sop_class_uid, [facts.transfer_syntax_uid])]
    with Sender(edge.port, contexts, timeout_seconds=120) as sender:
        status = sender.store(
            facts.sop_class_uid, facts.sop_instance_uid, facts.transfer_syntax_uid, watched()
        )
    assert status == 0
    edge.wait_until_drained(180)

    assert edge.process.group() == processes, "a process was replaced: its peak is unknown"
    over = {pid: memory_peak_bytes(pid) - idle[pid] for pid in processes}
    (received,) = destination.received()
    assert received.digest() == digest.hexdigest()
    assert max(over.values()) <= MEMORY_OVER_IDLE_BYTES, {
        pid: f"{count >> 20} MiB over idle" for pid, count in over.items()
    }
