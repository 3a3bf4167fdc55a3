"""Which delivering processes are alive, also to whoever looks at the very moment one begins."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from router.serve import leases as leases_module
from router.serve.leases import Leases

BEGINNINGS = 2000


def test_who_has_begun_is_alive_and_who_has_ended_is_not(tmp_path):
    one, other = Leases(tmp_path, "one"), Leases(tmp_path, "other")
    one.hold()
    assert other.living() == {"one"}
    one.close()
    assert other.living() == frozenset()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM])
def test_F6_p5_who_cannot_be_looked_at_is_not_taken_for_dead(tmp_path, monkeypatch, number):
    """Its leases would be put back, and sent by another process beside it."""
    one, other = Leases(tmp_path, "one"), Leases(tmp_path, "other")
    one.hold()

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(leases_module.os, "open", fail)
        assert other.living() == {"one"}
    one.close()
    assert other.living() == frozenset()


def test_who_begins_while_somebody_looks_is_never_taken_for_dead(tmp_path):
    watcher, over = Leases(tmp_path, "watcher"), threading.Event()

    def look() -> None:
        while not over.is_set():
            watcher.living()

    looking = threading.Thread(target=look)
    looking.start()
    taken_for_dead = 0
    try:
        for number in range(BEGINNINGS):
            begun = Leases(tmp_path, f"boot-{number}")
            begun.hold()
            taken_for_dead += f"boot-{number}" not in Leases(tmp_path, "third").living()
            begun.close()
    finally:
        over.set()
        looking.join()
    assert taken_for_dead == 0
