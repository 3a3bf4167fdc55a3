"""Many at once and storage in trouble: what senders hear, and that only what they heard is owed."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections import Counter

import pytest

from router.errors import ProtocolError, StoreFull
from router.model.instance import Source
from router.store.room import Room
from tests.support.inside import CT1, Edge, Neighbour, arrival, pieces
from tests.support.store_making import settled
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path)
    yield made
    made.index()
    made.close()


def at_once(count, work):
    """`work(number)` in so many threads that start together; what they returned."""
    together = threading.Barrier(count)
    found = [None] * count

    def run(number):
        together.wait(10)
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def small(seed, **options):
    return instance(seed, rows=4, columns=4, **options)


def test_F27_the_same_object_over_eight_associations_is_owed_once(edge):
    image = small(1)
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs):
        indexing = edge.threads.start("index", edge.indexer.run)
        answers = at_once(8, lambda _: [edge.take(image).status for _ in range(25)])
        assert {status for one in answers for status in one} == {0}
        edge.indexer.close()
        indexing.join(20)
        edge.wait_for(delivered=1)
    assert len(pacs.received) == 1
    account = edge.ledger.account()
    assert account.instances["received"] == 200
    assert account.instances["duplicate"] == 199
    assert account.deliveries["created"] == 1


def test_F27_the_same_uid_with_other_bytes_is_another_version(edge):
    versions = [small(2, changes={0x00104000: ("LT", f"version {n}")}) for n in range(8)]
    assert len({one.sop_instance_uid for one in versions}) == 1
    edge.threads.start("index", edge.indexer.run)
    at_once(8, lambda number: [edge.take(versions[number]) for _ in range(10)])
    edge.indexer.close()
    assert edge.threads.join(20)
    account = edge.ledger.account()
    assert account.instances["received"] == 80
    assert account.instances["duplicate"] == 72
    sent = []
    while leased := edge.lease():
        (one,) = leased  # never two of one object at one station at once
        sent.append(edge.store.read(one.record))
        edge.ledger.turn([settled(one)], {}, edge.store.clock.now())
    assert sorted(sent) == sorted(one.data_set for one in versions)


def test_F27_the_same_object_of_two_stations_is_two_instances(edge):
    other = Source("lan", "CT2", "EDGE", "10.0.0.2", "ct-2")
    for source in (CT1, other, CT1, other):
        assert edge.take(small(3), source).status == 0
    edge.index()
    assert edge.ledger.account().instances["duplicate"] == 2
    assert len(edge.lease()) == 2


def test_many_senders_do_not_mix_their_bytes(edge):
    images = [instance(seed, rows=64, columns=64 * (seed % 5 + 1)) for seed in range(10, 34)]
    statuses = at_once(
        8,
        lambda number: [edge.take(image, size=1000 + number).status for image in images[number::8]],
    )
    assert {status for one in statuses for status in one} == {0}
    edge.index()
    found = {one.sop_instance_uid: edge.store.read(one.record) for one in edge.lease()}
    assert found == {image.sop_instance_uid: image.data_set for image in images}


def test_p3_senders_that_go_away_amid_a_storm_leave_nothing_of_theirs(edge):
    large = [instance(seed, rows=512, columns=1500) for seed in range(40, 44)]

    def work(number):
        if number % 2:
            return [edge.take(small(100 + number * 10 + turn)).status for turn in range(5)]

        def cut():
            for index, view in enumerate(pieces(large[number // 2].data_set, 65536)):
                if index == 20:
                    raise ProtocolError("the peer aborted")
                yield view

        with pytest.raises(ProtocolError):
            edge.intake.take(arrival(large[number // 2]), cut())
        return []

    statuses = at_once(8, work)
    assert Counter(status for one in statuses for status in one) == {0: 20}
    edge.index()
    leased = edge.lease()
    assert len(leased) == 20
    held = sum(path.stat().st_size for path in edge.journal.folder.iterdir())
    assert held == sum(one.record.length for one in leased)


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS])
def test_F5_one_failed_write_costs_those_who_waited_for_it_and_no_other(edge, monkeypatch, error):
    images = [small(seed) for seed in range(50, 58)]
    write, fails = os.pwritev, [True]

    def failing(*arguments):
        if fails:
            fails.clear()
            raise OSError(error, os.strerror(error))
        return write(*arguments)

    monkeypatch.setattr(os, "pwritev", failing)
    answers = [edge.take(image) for image in images]
    assert [answer.status for answer in answers] == [0xA700, *[0] * 7]
    assert answers[0].comment == "storage unavailable"
    edge.index()
    assert {one.sop_instance_uid for one in edge.lease()} == {
        image.sop_instance_uid for image in images[1:]
    }
    (line,) = edge.lines("instance not accepted")
    assert os.strerror(error) in line["reason"]
    assert str(edge.folder) not in line["reason"]


def test_F5_the_second_failure_ends_accepting_for_good(edge, monkeypatch):
    assert edge.take(small(60)).status == 0

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwritev", failing)
        assert [edge.take(small(seed)).status for seed in (61, 62, 63)] == [0xA700] * 3
    assert edge.journal.broken, "the receive role ends when it sees this"
    assert edge.take(small(64)).status == 0xA700, (
        "the disk came back; this process does not trust it"
    )
    edge.index()
    (leased,) = edge.lease()
    assert edge.store.read(leased.record) == small(60).data_set, "reading goes on"


def test_F6_without_file_descriptors_senders_are_told_to_wait_and_it_heals(edge):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    try:
        used = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        answer = edge.take(small(71))
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (answer.status, answer.comment) == (0xA700, "storage unavailable")
    assert not edge.journal.broken, "no word about the disk"
    assert edge.take(small(72)).status == 0
    edge.index()
    (leased,) = edge.lease()
    assert leased.sop_instance_uid == small(72).sop_instance_uid


class Volume:
    """What statvfs tells: bytes and inodes of a volume, as a test wants them."""

    def __init__(self, free_share: float) -> None:
        self.f_frsize = 4096
        self.f_blocks = 25_000_000
        self.f_bavail = int(self.f_blocks * free_share)
        self.f_files, self.f_favail = 1_000_000, 900_000


def test_p10_at_the_watermark_A700_before_a_byte_is_read(tmp_path, monkeypatch):
    clock = HandClock()
    edge = Edge(tmp_path, clock=clock)
    edge.keep(small(80))
    monkeypatch.setattr(os, "statvfs", lambda _: Volume(0.04))
    clock.pass_seconds(1)
    read = []

    def chunks():
        read.append(True)
        yield from pieces(small(81).data_set)

    answer = edge.intake.take(arrival(small(81)), chunks())
    assert (answer.status, answer.comment) == (0xA700, "no room, try again later")
    assert read == []
    with edge.dispatching(pacs=Neighbour()):
        edge.wait_for(delivered=1)
    monkeypatch.setattr(os, "statvfs", lambda _: Volume(0.5))
    clock.pass_seconds(1)
    assert edge.take(small(81)).status == 0, "it heals without a restart"
    edge.index()
    edge.close()


def test_p10_room_that_ends_amid_an_object_takes_it_back(edge, monkeypatch):
    large = instance(82, rows=1024, columns=1024)

    def grow(*_):
        raise StoreFull("the free space of the data directory is at its watermark")

    monkeypatch.setattr(Room, "_grow", grow)
    assert edge.take(large, size=65536).status == 0xA700
    assert sum(path.stat().st_size for path in edge.journal.folder.iterdir()) == 0
    monkeypatch.undo()
    assert edge.take(large, size=65536).status == 0
