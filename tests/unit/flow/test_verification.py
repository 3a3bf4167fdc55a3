"""Verification beside the work: what is read, where it goes on, and who may end it."""

from __future__ import annotations

import io
import threading

import pytest

from router.clock import Clock
from router.flow import verification as module
from router.flow.verification import Verifier
from router.store.cache_book import CacheBook
from router.store.layout import HEAD_BYTES
from router.store.segment import segment_path
from router.store.verifications import KEEP_SECONDS
from router.telemetry.log import open_log
from tests.support.store_making import open_store


class Site:
    def __init__(self, folder):
        self.store = open_store(folder, clock=Clock())
        self.book = CacheBook.open(folder / "ledger" / "ledger.db", self.store.clock)
        self.text, self.stop, self.leaves = io.StringIO(), threading.Event(), lambda: False
        self.verifier = Verifier(
            self.store.journal, self.book, self.store.clock, open_log(self.text, "json", {}),
            self.stop, lambda: self.leaves(),
        )  # fmt: skip
        self.entries = [
            self.store.keep(n, b"%03d" % n * 400, study=f"1.{n % 2}") for n in range(1, 9)
        ]

    def flip(self, number):
        ref = self.entries[number - 1].ref
        path = segment_path(self.store.journal.folder, ref.segment)
        octets = bytearray(path.read_bytes())
        octets[ref.offset + HEAD_BYTES + 3] ^= 1
        path.write_bytes(octets)

    def told(self, number=1):
        return self.book.find_verification(number)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.book.close()
    made.store.close()


def test_f90_all_is_read_and_what_does_not_open_is_named(site):
    assert not site.verifier.work(), "nobody asked"
    site.flip(3)
    made = site.book.want_verification("ana")
    assert (made.status, made.study_instance_uid) == ("Ready", None)
    assert site.verifier.work()
    found, damages = site.told()
    assert (found.status, found.total, found.done.records, found.done.damaged) == (
        "Failed",
        8,
        8,
        1,
    )
    assert found.done.data_set_bytes == 8 * 1200
    assert [(one.instance_id, one.is_owed) for one in damages] == [(3, True)]
    assert "does not open" in site.text.getvalue()
    site.book.want_verification("ana", "1.0")
    assert site.verifier.work()
    found, damages = site.told(2)
    assert (found.status, found.total, found.done.records, damages) == ("Completed", 4, 4, ())
    assert [one.verification_id for one in site.book.verifications()] == [2, 1]


def test_what_a_stop_cuts_off_goes_on_behind_what_was_read(site, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    site.flip(2)
    site.book.want_verification("ana")
    looks = iter([False] * 5 + [True] * 9)
    site.leaves = lambda: next(looks)
    assert site.verifier.work()
    found, damages = site.told()
    assert (found.status, found.done.records, len(damages)) == ("In Progress", 5, 1)
    site.leaves = lambda: False
    assert site.verifier.work()
    found, damages = site.told()
    assert (found.status, found.done.records, found.done.damaged, len(damages)) == (
        "Failed",
        8,
        1,
        1,
    )


def test_somebody_who_has_enough_ends_it(site, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    site.book.want_verification("ana")
    calls = iter(range(99))

    def leaves():
        if next(calls) == 3:
            assert site.book.end_verification(1, "cancelled by bob")
        return False

    site.leaves = leaves
    assert site.verifier.work()
    found, _ = site.told()
    assert (found.status, found.message) == ("Cancelled", "cancelled by bob")
    assert 0 < found.done.records < 8
    assert not site.book.end_verification(1) and not site.verifier.work()


def test_one_that_was_cancelled_before_it_began_is_not_begun(site):
    site.book.want_verification("ana")
    assert site.book.end_verification(1, "cancelled by ana")
    assert not site.verifier.work()
    assert site.told()[0].status == "Cancelled"
    assert site.told(7) is None


def test_the_thread_takes_one_after_the_other_and_ends(site):
    site.book.want_verification("ana")
    site.book.want_verification("bob")
    thread = threading.Thread(target=site.verifier.run)
    thread.start()
    for _ in range(100):
        if all(one.status == "Completed" for one in site.book.verifications()):
            break
        site.stop.wait(0.05)
    site.stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert [one.status for one in site.book.verifications()] == ["Completed"] * 2


def test_what_is_long_over_is_forgotten(site, monkeypatch):
    site.flip(1)
    site.book.want_verification("ana")
    site.verifier.work()
    monkeypatch.setattr(site.store.clock, "now", lambda: Clock().now() + KEEP_SECONDS + 60)
    site.book.want_verification("ana")
    assert [one.verification_id for one in site.book.verifications()] == [2]
