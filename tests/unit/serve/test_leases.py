"""Which delivering processes are alive, also to whoever looks at the very moment one begins."""

from __future__ import annotations

import threading

from router.serve.leases import Leases

BEGINNINGS = 2000


def test_who_has_begun_is_alive_and_who_has_ended_is_not(tmp_path):
    one, other = Leases(tmp_path, "one"), Leases(tmp_path, "other")
    one.hold()
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
