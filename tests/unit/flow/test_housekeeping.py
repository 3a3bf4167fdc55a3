"""The journal within its bounds: what is owed stays, what nobody needs goes, trouble is told."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from router.errors import StoreDown, StoreFull
from router.flow import housekeeping as module
from router.flow.housekeeping import Housekeeping
from router.store.journal import Journal
from router.store.room import Room
from router.store.segment import segment_numbers
from tests.support.inside import Edge, Neighbour
from tests.support.process import wait_until
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock

SEGMENT = 50_000


def keeper(edge, **bounds):
    """Housekeeping over a journal of small segments."""
    settings = replace(edge.plan.store, segment_bytes=SEGMENT, **bounds)
    edge.plan = replace(edge.plan, store=settings)
    edge.journal.close()
    room = Room(edge.store.folder, edge.clock)
    edge.journal = edge.store.journal = Journal(edge.store.folder, edge.store.keys, settings, room)
    edge.intake._journal = edge.journal
    return Housekeeping(
        settings, edge.journal, edge.ledger, room, edge.clock, edge.log, edge.threads.stop
    )


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, clock=HandClock())
    yield made
    made.close()


def fill(edge, seeds):
    images = [instance(seed, rows=64, columns=64) for seed in seeds]
    edge.keep(*images)
    return images


def deliver(edge, count):
    with edge.dispatching(pacs=Neighbour()):
        edge.wait_for(delivered=count)
    edge.threads.stop.clear()


def test_what_was_delivered_goes_when_it_is_old_and_what_is_owed_stays(edge):
    keeping = keeper(edge, keep_seconds=3600.0)
    fill(edge, range(30))
    deliver(edge, 30)
    owed = fill(edge, range(30, 33))
    assert keeping.tidy() is False
    before = segment_numbers(edge.journal.folder)
    assert len(before) > 5
    assert not edge.lines("segments evicted"), "it is not old yet"

    edge.clock.pass_seconds(4000)
    keeping.tidy()
    (line,) = edge.lines("segments evicted")
    assert line["freed_bytes"] > 200_000
    assert len(segment_numbers(edge.journal.folder)) < len(before)
    assert [edge.store.read(one.record) for one in edge.lease()] == [
        image.data_set for image in owed
    ]
    assert edge.ledger.account().deliveries["delivered"] == 30


def test_more_than_the_bound_is_not_kept(edge):
    keeping = keeper(edge, max_bytes=4 * SEGMENT)
    fill(edge, range(40, 80))
    deliver(edge, 40)
    keeping.tidy()
    held = sum(path.stat().st_size for path in edge.journal.folder.iterdir())
    assert held <= 5 * SEGMENT


def test_p10_short_of_room_it_frees_at_once_and_comes_again_soon(edge, monkeypatch):
    keeping = keeper(edge)
    fill(edge, range(80, 100))
    deliver(edge, 20)

    def full(*_):
        raise StoreFull("the free space of the data directory is at its watermark")

    monkeypatch.setattr(Room, "check", full)
    assert keeping.tidy() is True
    assert edge.lines("segments evicted")
    monkeypatch.undo()
    assert keeping.tidy() is False


def test_events_of_ended_tasks_do_not_pile_up(edge):
    keeping = keeper(edge)
    fill(edge, [101])
    deliver(edge, 1)
    (task,) = edge.ledger.tasks()
    assert edge.ledger.events_of(task.task_id)
    edge.clock.pass_seconds(module.KEEP_EVENTS_SECONDS + 1)
    keeping.tidy()
    assert edge.ledger.events_of(task.task_id) == ()
    assert edge.ledger.task(task.task_id).status == "Completed"


@pytest.mark.parametrize("error", [StoreDown("the ledger failed"), StoreFull("no room left")])
def test_trouble_is_told_and_tried_again(edge, monkeypatch, error):
    keeping = keeper(edge)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    failing = threading.Event()
    failing.set()
    prune, pruned = edge.ledger.prune_events, []

    def prune_or_fail(before):
        if failing.is_set():
            raise error
        pruned.append(before)
        return prune(before)

    monkeypatch.setattr(edge.ledger, "prune_events", prune_or_fail)
    thread = edge.threads.start("housekeeping", keeping.run)
    wait_until(lambda: len(edge.lines("housekeeping failed")) > 1, 5, what="it is told")
    failing.clear()
    wait_until(lambda: pruned, 5, what="it goes on")
    edge.threads.stop.set()
    thread.join(5)
    assert not thread.is_alive()
