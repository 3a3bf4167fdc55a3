"""The ledger: what is owed, in which order it is leased, and a balance that can really fail."""

from __future__ import annotations

import sqlite3

import pytest

from router.errors import StoreDown
from router.model.delivery import Disposition, Priority, Result, State
from router.model.instance import RecordRef
from router.model.rule import Decision
from router.model.task import TaskFilter
from router.store import watching
from router.store.accounting import deep_check
from router.store.ledger import SEND_PREFIX, Indexed
from router.store.segment import segment_path
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import (
    MORPHED,
    PLAIN,
    TestClock,
    decision,
    indexed,
    instance,
    open_store,
    owed,
    settled,
)

NOW = 1_000_000.0


@pytest.fixture
def ledger(tmp_path):
    opened = SqliteLedger.open(tmp_path / "ledger.db", TestClock(), "boot-1")
    yield opened
    assert opened.account().differences == ()
    opened.close()


def lease(ledger, limit=100, station="pacs", now=NOW):
    return ledger.turn((), {station: limit}, now)


def test_an_instance_is_leased_with_all_that_sending_needs(ledger):
    entry = indexed(7, owed(recipe=MORPHED, priority=Priority.HIGH), study="1.9")
    (instance_id,) = ledger.index([entry])
    (leased,) = lease(ledger)
    assert leased.instance_id == instance_id
    assert leased.record == entry.ref
    assert (leased.station, leased.recipe_digest) == ("pacs", MORPHED.digest)
    assert leased.priority is Priority.HIGH
    assert leased.study_instance_uid == "1.9"
    assert leased.sop_instance_uid == entry.instance.sop_instance_uid
    assert leased.data_set_length == entry.instance.data_set_length
    assert ledger.recipe(leased.recipe_digest) == MORPHED
    assert lease(ledger) == ()


def test_p2_booking_a_record_twice_changes_nothing(ledger):
    entries = [indexed(number, owed()) for number in range(5)]
    first = ledger.index(entries)
    assert ledger.index(entries) == first
    assert ledger.account().deliveries["created"] == 5


def test_marks_follow_records_that_arrive_in_any_order(ledger):
    def at(place, number):
        return Indexed(
            RecordRef(3, place, 100, bytes([number] * 16)), instance(number), decision(), "p"
        )

    ledger.index([at(100, 1), at(300, 3)])
    assert ledger.marks() == {3: 0}
    ledger.index([at(0, 0)])
    assert ledger.marks() == {3: 200}
    ledger.index([at(200, 2)])
    assert ledger.marks() == {3: 400}
    ledger.index([], {3: 500, 4: 0})
    assert ledger.marks() == {3: 500, 4: 0}


def test_p5_the_same_object_again_is_a_duplicate(ledger):
    ledger.index([indexed(1, owed("pacs"))])
    ledger.index([indexed(1, owed("pacs"), owed("cloud"), at=NOW + 3600)])
    account = ledger.account()
    assert account.instances["duplicate"] == 1
    assert account.stations["pacs"]["created"] == 1
    assert account.stations["cloud"]["created"] == 1
    versions = ledger.find_instances("1.2.826.0.1.1")
    assert [one.disposition for one in versions] == [Disposition.ROUTED, Disposition.DUPLICATE]
    assert versions[1].duplicate_of == versions[0].instance_id


def test_F27_duplicates_in_one_batch_are_owed_once(ledger):
    ledger.index([indexed(1, owed()) for _ in range(50)])
    assert ledger.account().deliveries["created"] == 1
    assert ledger.account().instances["duplicate"] == 49


@pytest.mark.parametrize(
    "facts",
    [
        {"content_digest": b"\1" * 32},
        {"station": "ct-2"},
        {"at": NOW + 86401},
        {"sop_instance_uid": "1.2.3.4"},
    ],
)
def test_p5_other_content_source_or_day_is_no_duplicate(ledger, facts):
    ledger.index([indexed(1, owed())])
    ledger.index([indexed(1, owed(), **facts)])
    assert ledger.account().instances["duplicate"] == 0
    assert ledger.account().deliveries["created"] == 2


def test_p5_what_died_is_owed_again_by_a_duplicate(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, NOW)
    ledger.index([indexed(1, owed())])
    assert ledger.account().deliveries["created"] == 2


def test_f68_p7_priority_then_study_then_arrival(ledger):
    def one(number, study, priority=Priority.MEDIUM):
        return indexed(number, owed(priority=priority), study=study)

    ledger.index([one(1, "1.1"), one(2, "1.2"), one(3, "1.1"), one(4, "1.3", Priority.HIGH)])
    ledger.index([one(5, "1.2"), one(6, "1.1")])
    order = [int(leased.sop_instance_uid.split(".")[-1]) for leased in lease(ledger)]
    assert order == [4, 1, 3, 6, 2, 5]


@pytest.mark.parametrize("limit", [1, 3, 16, 200])
def test_low_is_never_starved(ledger, limit):
    high = [indexed(number, owed(priority=Priority.HIGH)) for number in range(60)]
    low = [indexed(number, owed(priority=Priority.LOW)) for number in range(100, 110)]
    ledger.index(low + high)
    order = []
    while leased := lease(ledger, limit):
        order += [one.priority for one in leased]
    assert order[:22] == ([Priority.HIGH] * 10 + [Priority.LOW]) * 2
    assert len(order) == 70


def test_a_retry_waits_until_it_is_due(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    ledger.turn([settled(leased, Result.RETRY, State.QUEUED, NOW + 30, message="x" * 900)], {}, NOW)
    assert lease(ledger, now=NOW + 29) == ()
    assert ledger.next_due_at() == NOW + 30
    assert ledger.next_due_at(NOW + 30) is None
    (again,) = lease(ledger, now=NOW + 30)
    assert again.attempts == 1
    (task,) = ledger.tasks()
    (delivery,) = ledger.deliveries_of(task.task_id)
    assert len(delivery.last_error) == 500
    assert [event.kind for event in ledger.events_of(task.task_id)] == ["created", "retry"]
    assert task.failures == 1


def test_a_wait_that_was_nobodys_fault_burns_no_attempt(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    ledger.turn([settled(leased, Result.UNREACHABLE, State.QUEUED, NOW)], {}, NOW)
    (again,) = lease(ledger)
    assert again.attempts == 0
    assert ledger.release_station("pacs", [again.delivery_id]) == 1
    (third,) = lease(ledger)
    assert third.attempts == 0


def test_p6_leases_of_earlier_boots_are_free_at_once(tmp_path):
    first = SqliteLedger.open(tmp_path / "ledger.db", TestClock(), "boot-1")
    first.index([indexed(number, owed()) for number in range(10)])
    assert len(lease(first)) == 10
    first.close()
    second = SqliteLedger.open(tmp_path / "ledger.db", TestClock(), "boot-2")
    assert lease(second) == ()
    assert second.release_foreign_leases() == 10
    assert len(lease(second)) == 10
    assert second.release_foreign_leases() == 0
    assert second.account().balanced
    second.close()


def test_a_receipt_that_comes_late_still_counts_and_only_once(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    ledger.release_station("pacs", [leased.delivery_id])
    ledger.turn([settled(leased, Result.RETRY, State.QUEUED, NOW + 9)], {}, NOW)
    assert ledger.next_due_at() is None
    ledger.turn([settled(leased), settled(leased)], {}, NOW)
    ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, NOW)
    assert ledger.account().deliveries["delivered"] == 1
    assert ledger.account().deliveries["dead"] == 0


def test_settlements_of_unknown_deliveries_are_ignored(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    stranger = type(leased)(
        **{name: getattr(leased, name) for name in leased.__slots__} | {"delivery_id": 99}
    )
    ledger.turn([settled(stranger)], {}, NOW)
    assert ledger.account().deliveries["sending"] == 1


def test_task_statuses_follow_the_deliveries(ledger):
    def status():
        (task,) = ledger.tasks()
        return task.status

    ledger.index([indexed(number, owed(rule="to the archive")) for number in range(3)])
    (task,) = ledger.tasks()
    assert (task.kind, task.requester, task.objects) == ("route", "to the archive", 3)
    assert status() == "Ready"
    ledger.set_station_status("pacs", "offline", "connection refused", NOW)
    (task,) = ledger.tasks()
    assert task.status == "On Hold"
    assert task.status_reason == "station is offline: connection refused"
    ledger.set_station_status("pacs", "online", "", NOW)
    first, second, third = lease(ledger)
    assert status() == "In Progress"
    ledger.turn([settled(first), settled(second)], {}, NOW)
    assert status() == "In Progress"
    ledger.turn([settled(third, Result.DEAD, State.DEAD, message="0xA900")], {}, NOW)
    (task,) = ledger.tasks()
    assert (task.status, task.status_reason) == ("Failed", "0xA900")
    assert ledger.tasks(status="Failed") == (task,)
    assert ledger.tasks(status="Completed") == ()
    assert ledger.retry([task.task_id], by="ana") == 1
    assert status() == "In Progress"
    ledger.turn([settled(lease(ledger)[0])], {}, NOW)
    task = ledger.task(task.task_id)
    assert task.status == "Completed"
    assert task.ended_at == NOW
    kinds = [(event.kind, event.message) for event in ledger.events_of(task.task_id)]
    assert ("retried", "1 deliveries by ana") in kinds


def test_f71_a_task_has_its_times_when_it_has_come_so_far(ledger):
    """It starts with the first that leaves, once; it ends when nothing of it is under way or waits."""
    ledger.index([indexed(number, owed()) for number in range(2)])

    def times():
        (task,) = ledger.tasks()
        return task.started_at, task.ended_at

    assert times() == (None, None)
    first = lease(ledger, 1, now=NOW + 5)
    assert times() == (NOW + 5, None)
    ledger.turn([settled(first[0])], {}, NOW + 6)
    (task,) = ledger.tasks()
    assert ledger.hold([task.task_id], "ana") == 1 and times() == (NOW + 5, None)
    assert ledger.resume([task.task_id], "ana") == 1
    second = lease(ledger, 1, now=NOW + 60)
    assert times() == (NOW + 5, None), "it was begun before it was held"
    ledger.turn([settled(second[0])], {}, NOW + 61)
    assert times()[0] == NOW + 5 and times()[1] is not None


def test_p9_a_task_with_a_cancelled_delivery_is_not_completed(ledger):
    ledger.index([indexed(number, owed()) for number in range(2)])
    (task,) = ledger.tasks()
    (leased,) = lease(ledger, 1)
    assert ledger.cancel([task.task_id]) == 1
    ledger.turn([settled(leased)], {}, NOW)
    assert ledger.task(task.task_id).status == "Cancelled"
    assert ledger.retry() == 0


def test_a_study_is_one_task_per_station_and_rule(ledger):
    for number in range(4):
        ledger.index([indexed(number, owed(), owed("cloud", rule="b"), study=f"1.{number % 2}")])
    assert len(ledger.tasks()) == 4
    assert len(ledger.tasks(station="cloud")) == 2
    newest = ledger.tasks(limit=1)[0]
    ids = [task.task_id for task in ledger.tasks()]
    assert newest.task_id == ids[0]
    assert [task.task_id for task in ledger.tasks(before=newest.task_id)] == ids[1:]


def test_an_ended_study_opens_a_new_task_only_after_a_while(tmp_path):
    clock = TestClock()
    ledger = SqliteLedger.open(tmp_path / "ledger.db", clock, "boot")
    for wait in (0, 30, 61):
        clock.time += wait
        ledger.index([indexed(wait, owed())])
        ledger.turn([settled(one) for one in lease(ledger)], {}, clock.now())
    assert [task.objects for task in ledger.tasks()] == [1, 2]
    ledger.close()


def test_a_person_sends_what_is_held(ledger):
    ids = ledger.index([indexed(number, study="1.5") for number in range(3)])
    held = ledger.instances_of_study("1.5")
    assert [one.instance_id for one in held] == list(ids)
    task_id = ledger.send(ids, owed("cloud", rule=SEND_PREFIX + "ana"), NOW)
    task = ledger.task(task_id)
    assert (task.kind, task.requester, task.objects) == ("send", "ana", 3)
    ledger.turn([settled(one) for one in lease(ledger, station="cloud")], {}, NOW)
    again = ledger.send(ids, owed("cloud", rule=SEND_PREFIX + "ana"), NOW)
    assert again != task_id
    assert len(lease(ledger, station="cloud")) == 3
    with pytest.raises(KeyError):
        ledger.send([99], owed("cloud"), NOW)
    with pytest.raises(KeyError):
        ledger.send([], owed("cloud"), NOW)


def test_retry_leaves_what_came_again_and_is_on_its_way_alone(ledger):
    ledger.index([indexed(1, owed())])
    (leased,) = lease(ledger)
    ledger.turn([settled(leased, Result.RETRY, State.DEAD)], {}, NOW)
    ledger.index([indexed(1, owed())])
    assert ledger.retry() == 0
    (again,) = lease(ledger)
    ledger.turn([settled(again, Result.RETRY, State.DEAD)], {}, NOW)
    assert ledger.retry() == 1


def test_retry_of_a_station_leaves_others_and_open_twins_alone(ledger):
    ids = ledger.index([indexed(1, owed(), owed("cloud"))])
    for station in ("pacs", "cloud"):
        (leased,) = lease(ledger, station=station)
        ledger.turn([settled(leased, Result.QUARANTINED, State.QUARANTINED)], {}, NOW)
    assert ledger.retry(station="cloud") == 1
    # A person asked for the same meanwhile: two at once must not be.
    ledger.send(ids, owed("pacs"), NOW)
    assert ledger.retry() == 0
    assert ledger.account().stations["pacs"]["quarantined"] == 1


def test_f49_p12_held_is_what_waits_at_a_station_that_is_offline(ledger):
    ledger.index([indexed(1, owed()), indexed(2), indexed(3, owed("cloud"))])
    ledger.set_station_status("pacs", "offline", "", NOW)
    account = ledger.account()
    assert account.instances == {
        "received": 3, "routed": 2, "unmatched": 1, "discarded": 0, "quarantined": 0, "duplicate": 0,
    }  # fmt: skip
    assert (account.deliveries["held"], account.deliveries["queued"]) == (1, 1)
    assert account.stations["pacs"]["held"] == 1
    assert ledger.waiting_stations() == {"pacs": 1, "cloud": 1}


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM delivery WHERE delivery_id = 1",
        "UPDATE delivery SET state = 'delivered' WHERE delivery_id = 1",
        "UPDATE delivery SET station = 'cloud' WHERE delivery_id = 1",
        "UPDATE instance SET disposition = 'discarded' WHERE instance_id = 1",
        "DELETE FROM instance WHERE instance_id = 2",
        "UPDATE counter SET value = value + 1 WHERE name = 'delivery:created'",
        "UPDATE counter SET value = value - 1 WHERE name = 'instance:received'",
    ],
)
def test_p12_the_account_fails_when_a_row_is_tampered_with(tmp_path, tampering):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger.open(path, TestClock(), "boot")
    ledger.index([indexed(1, owed()), indexed(2)])
    assert ledger.account().balanced
    other = sqlite3.connect(path)
    assert other.execute(tampering).rowcount == 1
    other.commit()
    other.close()
    account = ledger.account()
    assert not account.balanced
    assert account.differences
    ledger.close()


def test_p12_the_deep_check_finds_owed_records_that_are_damaged(store):
    entries = [store.keep(number, b"x" * 1000, owed()) for number in range(3)]
    assert deep_check(store.journal, store.ledger) == ()
    path = segment_path(store.journal.folder, entries[1].ref.segment)
    with path.open("r+b") as file:
        file.seek(entries[1].ref.offset + entries[1].ref.length - 40)
        file.write(bytes(8))
    assert deep_check(store.journal, store.ledger) == (2,)


def test_station_status_keeps_when_it_began(ledger):
    ledger.set_station_status("pacs", "offline", "refused", 10.0)
    ledger.set_station_status("pacs", "offline", "timed out", 20.0)
    status = ledger.station_statuses()["pacs"]
    assert (status.since, status.checked_at, status.reason) == (10.0, 20.0, "timed out")
    ledger.set_station_status("pacs", "online", "", 30.0)
    assert ledger.station_statuses()["pacs"].since == 30.0


def test_F32_a_newer_schema_is_refused_and_another_program_too(tmp_path):
    path = tmp_path / "ledger.db"
    SqliteLedger.open(path, TestClock(), "boot").close()
    for pragma in ("user_version = 99", "application_id = 5"):
        other = sqlite3.connect(path)
        other.execute(f"PRAGMA {pragma}")
        other.close()
        with pytest.raises(StoreDown):
            SqliteLedger.open(path, TestClock(), "boot")


def test_F7_a_damaged_ledger_is_found_by_the_check_after_an_unclean_stop(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger.open(path, TestClock(), "boot")
    ledger.index([indexed(number, owed()) for number in range(200)])
    ledger.close()
    octets = bytearray(path.read_bytes())
    octets[4096 * 9 : 4096 * 12] = bytes(4096 * 3)
    path.write_bytes(octets)
    with pytest.raises(StoreDown):
        SqliteLedger.open(path, TestClock(), "boot", quick_check=True)
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreDown):
        SqliteLedger.open(path, TestClock(), "boot")


def test_a_ledger_opened_for_reading_sees_and_writes_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger.open(path, TestClock(), "boot")
    ledger.index([indexed(1, owed())])
    reader = SqliteLedger.open(path, TestClock(), "boot", read_only=True)
    assert reader.account().deliveries["queued"] == 1
    with pytest.raises(StoreDown):
        reader.retry()
    ledger.index([indexed(2, owed())])
    assert reader.account().deliveries["queued"] == 2
    reader.close()
    reader.close()
    ledger.close()


def test_old_events_of_ended_tasks_are_pruned(ledger):
    ledger.index([indexed(1, owed()), indexed(2, owed("cloud"))])
    ledger.turn([settled(one) for one in lease(ledger)], {}, NOW)
    assert ledger.prune_events(NOW - 1) == 0
    assert ledger.prune_events(NOW + 1) == 1
    assert len(ledger.events_of(ledger.tasks(station="cloud")[0].task_id)) == 1


def test_p2_the_ledger_is_rebuilt_from_the_journal(tmp_path):
    from router.store.recovery import recover

    store = open_store(tmp_path, segment_bytes=30_000)
    for number in range(30):
        deliveries = (owed(recipe=MORPHED), owed("cloud", recipe=PLAIN)) if number % 3 else ()
        store.keep(number, bytes([number]) * 5000, *deliveries, study=f"1.{number % 4}")
    store.keep(1, bytes([1]) * 5000, owed(recipe=MORPHED))
    before = store.ledger.account()
    owed_before = [ref for _, ref in store.ledger.owed_records()]
    store.close()
    for path in (tmp_path / "ledger").iterdir():
        path.unlink()
    again = open_store(tmp_path, boot_id="boot-2")
    assert recover(again.journal, again.ledger).records == 31
    assert again.ledger.account() == before
    assert [ref for _, ref in again.ledger.owed_records()] == owed_before
    assert again.ledger.recipe(MORPHED.digest) == MORPHED
    assert len(again.ledger.tasks()) == 8
    again.close()


def test_F26_a_batch_that_fails_leaves_nothing(ledger):
    good, bad = indexed(1, owed()), indexed(2, owed())
    broken = Indexed(
        RecordRef(good.ref.segment, good.ref.offset, 1, b"z" * 16),
        bad.instance,
        Decision(Disposition.ROUTED, bad.decision.owed, ("x",)),
        "plan",
    )
    with pytest.raises(StoreDown):
        ledger.index([good, broken])
    assert ledger.account().instances["received"] == 0
    ledger.index([good, bad])
    assert ledger.recipe(PLAIN.digest) == PLAIN


def test_f59_a_held_task_gives_nothing_until_it_is_resumed(ledger):
    ledger.index([indexed(1, owed(), study="1.1"), indexed(2, owed(), study="1.2")])
    held, other = sorted(task.task_id for task in ledger.tasks())
    assert ledger.hold([held, held + 1000], "ana") == 1
    assert ledger.hold([held], "ana") == 0, "it is held already"
    found = ledger.task(held)
    assert (found.status, found.status_reason) == ("On Hold", "held by ana")
    ledger.index([indexed(3, owed(), study="1.1")])
    (leased,) = lease(ledger)
    assert leased.study_instance_uid == "1.2", "what joins a held task waits too"
    ledger.turn([settled(leased)], {}, NOW)
    assert ledger.hold([other], "ana") == 0, "nothing of it waits"
    assert ledger.resume([held, other], "bea") == 1
    assert [one.study_instance_uid for one in lease(ledger)] == ["1.1", "1.1"]
    assert [event.kind for event in ledger.events_of(held)] == ["created", "held", "resumed"]
    assert ledger.resume([held], "bea") == 0


def test_f59_a_held_task_can_be_cancelled_and_its_balance_holds(ledger):
    ledger.index([indexed(number, owed(), study="1.1") for number in range(3)])
    (task,) = ledger.tasks()
    ledger.hold([task.task_id], "ana")
    assert ledger.cancel([task.task_id], "ana") == 3
    assert ledger.task(task.task_id).status == "Cancelled"
    assert ledger.account().deliveries["cancelled"] == 3
    assert lease(ledger) == ()


def test_f60_priority_changes_what_waits_and_what_joins(ledger):
    ledger.index([indexed(number, owed(), study=f"1.{number}") for number in range(3)])
    (first,) = lease(ledger, limit=1)
    last = max(task.task_id for task in ledger.tasks())
    assert ledger.prioritise([last], Priority.HIGH, "ana") == 1
    assert ledger.prioritise([last], Priority.HIGH, "ana") == 0
    ledger.index([indexed(9, owed(), study="1.2")])
    order = [one.study_instance_uid for one in lease(ledger)]
    assert (first.study_instance_uid, order) == ("1.0", ["1.2", "1.2", "1.1"])
    assert ledger.task(last).priority == "high"
    assert "priority high" in [event.kind for event in ledger.events_of(last)]


def test_f60_a_high_study_overtakes_a_thousand_low_ones_and_low_never_starves(ledger):
    low = [indexed(n, owed(priority=Priority.LOW), study=f"1.{n}") for n in range(1000)]
    ledger.index(low)
    sent = [one.study_instance_uid for one in lease(ledger, limit=32)]
    ledger.index([indexed(5000 + n, owed(priority=Priority.HIGH), study="2") for n in range(200)])
    while "2" not in sent or sent.count("2") < 200:
        sent += [one.study_instance_uid for one in lease(ledger, limit=32)]
    # 10 % of what is low, besides what was leased before: of ten high ones one low goes.
    overtaking = sent[32:]
    assert overtaking.index("2") <= 1
    assert len([one for one in overtaking if one != "2"]) <= 100
    assert len([one for one in overtaking if one != "2"]) >= 15


def test_tasks_are_narrowed_by_what_is_asked(ledger):
    ledger.index(
        [
            indexed(1, owed(), study="1.1"),
            indexed(2, owed(station="cloud", priority=Priority.HIGH), study="1.1"),
            indexed(3, owed(), study="1.2"),
        ]
    )

    def stations(**wanted):
        return [
            task.station for task in ledger.tasks(wanted=TaskFilter(**wanted, direction="send"))
        ]

    assert sorted(stations(study_instance_uid="1.1")) == ["cloud", "pacs"]
    assert stations(priority=Priority.HIGH) == ["cloud"]
    assert stations(requester="nobody") == []
    assert len(stations(requester=ledger.tasks()[0].requester)) == 3
    assert stations(created_since=NOW * 1000) == []
    assert stations(status="Ready", station="cloud") == ["cloud"]


def test_the_backlog_tells_how_long_each_station_is_owed_something_and_its_tasks(tmp_path):
    clock = TestClock(NOW)
    ledger = SqliteLedger.open(tmp_path / "ledger.db", clock, "boot-1")
    entries = [
        indexed(1, owed(), owed("cloud")),
        indexed(2, owed(), study="1.7"),
        indexed(3),  # unmatched: owed to nobody, and kept
    ]
    ledger.index(entries[:1])
    clock.time += 60
    ledger.index(entries[1:])
    everything = sum(one.ref.length for one in entries)
    found = ledger.backlog()
    assert found.oldest_waiting_at == {"pacs": NOW, "cloud": NOW}
    assert found.tasks == {("pacs", "Ready"): 2, ("cloud", "Ready"): 1}
    assert found.owed_bytes == everything
    first, second = lease(ledger)
    assert ledger.backlog().oldest_waiting_at["pacs"] == NOW, "being sent is waiting too"
    ledger.turn(
        [settled(first), settled(second, Result.DEAD, State.DEAD, message="refused 0xA900")],
        {},
        NOW,
    )
    found = ledger.backlog()
    assert found.oldest_waiting_at == {"cloud": NOW}
    assert found.tasks == {
        ("pacs", "Failed"): 1, ("cloud", "Ready"): 1,
    }  # fmt: skip
    assert found.owed_bytes == everything, "the first is owed to the cloud, the dead one is kept"
    ledger.set_station_status("cloud", "offline", "no answer", NOW)
    assert ledger.backlog().tasks["cloud", "On Hold"] == 1
    (failure,) = ledger.failures(5)
    assert (failure.station, failure.kind, failure.message) == ("pacs", "dead", "refused 0xA900")
    ledger.close()


def test_watchers_walk_what_is_open_or_failed_and_not_what_is_over(ledger):
    with ledger._database.read() as connection:
        for statement, values in ((watching._TASKS, (NOW,)), (watching._OWED_BYTES, ())):
            steps = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            walked = {row[3] for row in steps if row[3].startswith("SCAN delivery")}
            assert not [step for step in walked if not step.endswith(("_failed", "_open"))], walked
