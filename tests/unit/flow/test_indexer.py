"""Behind the answer: batches, back-pressure, a full and a broken ledger, and the end in order."""

from __future__ import annotations

import threading
import time

import pytest

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.flow import indexer as module
from router.flow.indexer import Indexer
from router.store.sqlite_ledger import SqliteLedger
from tests.support.inside import Edge
from tests.support.process import wait_until
from tests.support.store_making import indexed, owed
from tests.support.synthetic import instance


class InTrouble:
    """A real ledger whose `index` can be held up, or fail; and the sizes of what was booked."""

    def __init__(self, ledger) -> None:
        self.ledger = ledger
        self.batches: list[int] = []
        self.held = threading.Event()
        self.held.set()
        self.raises: Exception | None = None

    def index(self, batch):
        self.held.wait(10)
        if self.raises is not None:
            raise self.raises
        self.ledger.index(batch)
        self.batches.append(len(batch))


@pytest.fixture
def made(tmp_path):
    ledger = SqliteLedger.open(tmp_path / "ledger.db", Clock(), "boot")
    book, stop, rung = InTrouble(ledger), threading.Event(), []
    indexer = Indexer(book, lambda: rung.append(True), stop, Clock())
    yield indexer, book, stop, rung
    book.raises = None
    book.held.set()
    indexer.close()
    account = ledger.account()
    assert account.balanced
    assert account.instances["received"] == sum(book.batches)
    ledger.close()


_serial = iter(range(1, 10**6))


def start(indexer):
    died = []

    def run():
        try:
            indexer.run()
        except StoreDown as error:
            died.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, died


def entries(count):
    return [indexed(next(_serial), owed()) for _ in range(count)]


def test_the_first_record_after_a_lull_is_booked_at_once_and_rings(made):
    indexer, book, _, rung = made
    thread, _ = start(indexer)
    for number in range(1, 4):
        time.sleep(0.03)
        indexer.put(entries(1)[0])
        wait_until(lambda: len(book.batches) == number == len(rung), 1, what="booked")
    assert book.batches == [1, 1, 1]
    indexer.close()
    thread.join(5)


def test_under_load_transactions_are_few_and_bounded(made):
    indexer, book, _, _ = made
    book.held.clear()
    thread, _ = start(indexer)
    for entry in entries(700):
        indexer.put(entry)
    book.held.set()
    wait_until(lambda: sum(book.batches) == 700, 5, what="all booked")
    assert max(book.batches) == module.MAX_BATCH
    assert len(book.batches) <= 5
    indexer.close()
    thread.join(5)


def test_p10_a_ledger_that_is_far_behind_holds_the_senders_back(made, monkeypatch):
    indexer, book, _, _ = made
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    monkeypatch.setattr(module, "MAX_BATCH", 4)
    book.held.clear()
    thread, _ = start(indexer)
    put = []

    def sender():
        for entry in entries(30):
            indexer.put(entry)
            put.append(entry)

    sending = threading.Thread(target=sender)
    sending.start()
    wait_until(lambda: indexer.waiting() == 10, 5, what="the bound")
    time.sleep(0.1)
    assert len(put) <= 10 + 4, "what waits, and the batch at the ledger"
    book.held.set()
    sending.join(5)
    wait_until(lambda: sum(book.batches) == 30, 5, what="all booked")
    indexer.close()
    thread.join(5)


def test_a_broken_ledger_ends_accepting_and_frees_whoever_waits(made, monkeypatch):
    indexer, book, stop, _ = made
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    book.raises = StoreDown("the ledger failed: SQLITE_IOERR")
    book.held.clear()
    thread, died = start(indexer)

    def sender():
        for entry in entries(10):
            indexer.put(entry)

    sending = threading.Thread(target=sender)
    sending.start()
    wait_until(lambda: indexer.waiting() == 3, 5, what="senders wait")
    book.held.set()
    sending.join(5)
    assert not sending.is_alive(), "nobody waits for a ledger that will not come back"
    thread.join(5)
    assert len(died) == 1, "the thread ends, and so does the process"
    assert stop.is_set()
    with pytest.raises(StoreDown, match="SQLITE_IOERR"):
        indexer.check()


def test_F6_a_full_ledger_refuses_meanwhile_and_heals_by_itself(made, monkeypatch):
    indexer, book, _, rung = made
    monkeypatch.setattr(module, "FULL_SECONDS", 0.02)
    book.raises = StoreFull("no room left for the ledger")
    thread, _ = start(indexer)
    indexer.put(entries(1)[0])
    wait_until(lambda: indexer._full, 5, what="it is full")
    with pytest.raises(StoreFull):
        indexer.check()
    assert rung == []
    book.raises = None
    wait_until(lambda: book.batches == [1], 5, what="the same record is booked later")
    indexer.check()
    indexer.close()
    thread.join(5)


def test_a_full_ledger_does_not_keep_the_process_from_ending(made, monkeypatch):
    indexer, book, _, _ = made
    monkeypatch.setattr(module, "FULL_SECONDS", 0.02)
    book.raises = StoreFull("no room left for the ledger")
    thread, _ = start(indexer)
    indexer.put(entries(1)[0])
    wait_until(lambda: indexer._full, 5, what="it is full")
    indexer.close()
    thread.join(5)
    assert not thread.is_alive(), "recovery books the record at the next start"


def test_closing_books_what_waits(made):
    indexer, book, _, _ = made
    for entry in entries(600):
        indexer.put(entry)
    indexer.close()
    indexer.run()
    assert sum(book.batches) == 600
    assert indexer.waiting() == 0


@pytest.mark.parametrize(
    ("error", "comment"),
    [
        (StoreDown("the ledger failed: SQLITE_CORRUPT"), "storage unavailable"),
        (StoreFull("no room left for the ledger"), "no room, try again later"),
    ],
)
def test_p1_the_intake_takes_nothing_it_could_not_book(tmp_path, monkeypatch, error, comment):
    edge = Edge(tmp_path)
    monkeypatch.setattr(module, "FULL_SECONDS", 0.02)
    index = edge.ledger.index

    def failing(*_):
        raise error

    monkeypatch.setattr(edge.ledger, "index", failing)
    edge.threads.start("index", edge.indexer.run)
    images = [instance(seed, rows=2, columns=2) for seed in (1, 2)]
    assert edge.take(images[0]).status == 0, "this one is durable, and recovery will book it"
    wait_until(lambda: edge.indexer._broken or edge.indexer._full, 5, what="the ledger fails")
    answer = edge.take(images[1])
    assert (answer.status, answer.comment) == (0xA700, comment)
    monkeypatch.setattr(edge.ledger, "index", index)
    edge.indexer.close()
    assert edge.threads.join(5)
    edge.crashes.clear()
    edge.close()
