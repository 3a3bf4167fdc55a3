"""What an association costs: nothing while idle, no memory by size; and the rest goes on (F25)."""

from __future__ import annotations

import hashlib
import time

import psutil
import pytest

from router.dimse import client
from router.dimse.handlers import StoreAnswer
from tests.support.dimse_provider import CT, EXPLICIT, RawPeer, Sink, echo_seconds, running

MEBIBYTE = 1 << 20


class Digesting(Sink):
    """Keeps a digest of each data set instead of its bytes."""

    def store(self, request, chunks):
        digest = hashlib.sha1()
        largest = 0
        for chunk in chunks:
            digest.update(chunk)
            largest = max(largest, len(chunk))
        self.data_sets.append(digest.digest())
        assert largest <= MEBIBYTE
        return StoreAnswer(0)


def store_of(port: int, mebibytes: int) -> bytes:
    """Send that many MiB over one association and give the digest of what was sent."""
    digest = hashlib.sha1()

    def chunks():
        block = bytearray(MEBIBYTE)
        for number in range(mebibytes):
            block[:4] = number.to_bytes(4, "big")
            digest.update(block)
            yield block

    with client.connect(
        "127.0.0.1",
        port,
        "BIG",
        "ROUTER",
        [(CT, EXPLICIT)],
        timeout_seconds=30,
        max_pdu_bytes=16384,
    ) as association:
        assert association.store(CT, "1.2.3", EXPLICIT, chunks(), 0).status == 0
    return digest.digest()


def grown_by_storing(mebibytes: int) -> int:
    with running(Digesting()) as provider:
        store_of(provider.port, 8)
        before = psutil.Process().memory_info().rss
        digest = store_of(provider.port, mebibytes)
        assert provider.sink.data_sets[-1] == digest
        return psutil.Process().memory_info().rss - before


def test_memory_does_not_grow_with_the_size_of_an_instance():
    assert grown_by_storing(200) < 8 * MEBIBYTE


@pytest.mark.long
def test_memory_does_not_grow_with_the_size_of_an_instance_of_one_gigabyte():
    assert grown_by_storing(1024) < 8 * MEBIBYTE


def test_F25_idle_associations_cost_next_to_nothing():
    limits = {"associations_per_address": 256, "associations_per_ae_title": 256}
    process = psutil.Process()
    with running(**limits) as provider:
        before = process.memory_info().rss
        peers = [RawPeer(provider.port) for _ in range(200)]
        provider.wait(lambda: provider.server.counts().open == 200)
        assert process.memory_info().rss - before < 60 * MEBIBYTE
        burnt = time.process_time()
        time.sleep(2.0)
        assert time.process_time() - burnt < 0.5
        assert echo_seconds(provider.port) < 1.0
        for peer in peers:
            peer.close()
        provider.wait_for_no_connection()


def test_a_large_buffer_is_given_back_when_the_association_falls_idle():
    with running(Digesting()) as provider:
        with client.connect(
            "127.0.0.1",
            provider.port,
            "BIG",
            "ROUTER",
            [(CT, EXPLICIT)],
            timeout_seconds=30,
            max_pdu_bytes=16384,
        ) as association:
            association.store(CT, "1.2.3", EXPLICIT, [bytes(MEBIBYTE)] * 32, 0)
            before = psutil.Process().memory_info().rss
            time.sleep(1.3)
            assert psutil.Process().memory_info().rss - before < MEBIBYTE
            assert association.store(CT, "1.2.3", EXPLICIT, [bytes(MEBIBYTE)] * 32, 0).status == 0
        assert provider.sink.data_sets[0] == provider.sink.data_sets[1]
