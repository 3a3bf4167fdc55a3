"""A disk that fills up: senders hear 0xA7xx, nothing is lost, and it heals without a restart (P10).

The data directory is on a memory disk whose size is changed under the running router. Root only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import powercut, synthetic
from tests.support.powercut import SmallVolume
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender

pytestmark = pytest.mark.skipif(not powercut.is_possible(), reason="LOUD: mounting needs root")


def contexts(item: synthetic.Synthetic) -> list[tuple[str, list[str]]]:
    return [(item.sop_class_uid, [item.transfer_syntax_uid])]


def store(port: int, item: synthetic.Synthetic, data_set: Iterator[bytes] | None = None) -> int:
    with Sender(port, contexts(item), timeout_seconds=20) as sender:
        return sender.store(
            item.sop_class_uid,
            item.sop_instance_uid,
            item.transfer_syntax_uid,
            item.data_set if data_set is None else data_set,
        )


def is_out_of_resources(status: int) -> bool:
    return 0xA700 <= status <= 0xA7FF


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallVolume]:
    with SmallVolume(tmp_path / "small", 1500) as volume:
        yield volume


def test_p10_F6_at_the_watermark_senders_are_told_and_it_heals_by_itself(
    router: Callable[..., Router], small: SmallVolume
) -> None:
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(destination=destination.port, data_dir=small.path / "data")
        process = edge.process
        accepted = {}
        statuses = []
        for number, item in enumerate(synthetic.series(60, rows=128, columns=128)):
            if number == 20:
                fill = small.path / "filler"
                with open(fill, "wb") as filler:
                    os.posix_fallocate(filler.fileno(), 0, small.free_bytes() - (8 << 20))
                time.sleep(0.5)
            if number == 40:
                fill.unlink()
                time.sleep(0.5)
            status = store(edge.port, item)
            statuses.append(status)
            if status == 0:
                accepted[item.sop_instance_uid] = hashlib.sha256(item.data_set).hexdigest()
        assert statuses[:20] == [0] * 20
        assert all(is_out_of_resources(status) for status in statuses[20:40]), statuses[20:40]
        assert statuses[40:] == [0] * 20
        assert edge.process is process
        assert process is not None
        assert process.poll() is None
        wait_until(lambda: len(destination.stored) >= len(accepted), 30, what="all accepted")
        arrived = {stored.sop_instance_uid: stored.sha256 for stored in destination.stored}
        assert arrived == accepted
        edge.assert_balanced()
        edge.kill()
        edge.expect_balanced = False  # the volume is gone when the fixture would look


def test_F6_the_last_byte_goes_while_an_object_arrives(
    router: Callable[..., Router], small: SmallVolume
) -> None:
    """Another program takes all that is left in the middle of an object."""
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(destination=destination.port, data_dir=small.path / "data")
        facts, chunks = synthetic.large_chunks(3, 400 << 20)
        fill = small.path / "filler"

        def filling() -> Iterator[bytes]:
            for number, chunk in enumerate(chunks):
                if number == 40:
                    with open(fill, "wb") as filler:
                        block = bytes(1 << 20)
                        try:
                            while True:
                                filler.write(block)
                                filler.flush()
                        except OSError:
                            pass
                yield chunk

        status = store(edge.port, facts, filling())
        assert is_out_of_resources(status), hex(status)
        fill.unlink(missing_ok=True)
        item = synthetic.instance(9)

        def is_healed() -> bool:
            return store(edge.port, item) == 0

        wait_until(is_healed, 20, what="a small object is taken again")
        wait_until(lambda: destination.stored, 20, what="its arrival")
        assert [stored.sop_instance_uid for stored in destination.stored] == [item.sop_instance_uid]
        edge.assert_balanced()
        edge.kill()
        edge.expect_balanced = False


def test_F6_on_a_disk_without_a_free_byte_the_router_starts_on_its_ballast(
    router: Callable[..., Router], small: SmallVolume
) -> None:
    """Even to write who holds the lock takes a block, and the ballast is what there is."""
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(destination=destination.port, data_dir=small.path / "data")
        ballast = edge.data_dir / "ballast"
        assert edge.stop() == 0
        ballast.write_bytes(bytes(14 << 20))  # as housekeeping makes it after half a minute
        with open(small.path / "filler", "wb", buffering=0) as filler:
            os.posix_fallocate(filler.fileno(), 0, small.free_bytes() - (1 << 20))
            filler.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        assert small.free_bytes() == 0
        edge.start()
        assert not ballast.exists()
        status = store(edge.port, synthetic.instance(9))
        assert is_out_of_resources(status), hex(status)
        edge.kill()
        edge.expect_balanced = False
