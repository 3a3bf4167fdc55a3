"""The audit trail: a chain that shows every change, sealed, and what the ledger did told exactly once."""

from __future__ import annotations

import sqlite3

import pytest

from router.model.catalogue import SeriesEntry
from router.model.delivery import Result, State
from router.store import audit, database
from router.store.audit import AuditEntry, AuditTrail
from router.store.audit_due import Deleted, Received, Sent, tell_due, whose
from router.store.catalogue import sealed_row
from router.store.keys import KeyRing
from router.store.records import RecordDamaged
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import TestClock, indexed, open_store, owed, settled

SECRET = "CANARY^PATIENT"


def entry(number, event="sent"):
    return AuditEntry(1000.0 + number, event, 0, "pacs", f"1.2.{number}", f"<{SECRET}/>".encode())


@pytest.fixture
def trail(tmp_path):
    made = AuditTrail.open(tmp_path / "ledger.db", tmp_path / "keys")
    made.append([entry(number) for number in range(1, 8)])
    yield made
    made.close()


def broken(tmp_path, statement, *values):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute(statement, values).rowcount
    connection.close()


def test_a_whole_chain_is_whole_and_its_messages_are_sealed(trail, tmp_path):
    verdict = trail.verify()
    assert (verdict.rows, verdict.last_id, verdict.faults) == (7, 7, ())
    assert trail.message(3) == f"<{SECRET}/>".encode()
    assert trail.digest_of(7) == verdict.last_digest and trail.message(8) is None
    for file in tmp_path.iterdir():
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize("column", ["at", "event", "outcome", "who", "what", "sealed", "digest"])
@pytest.mark.parametrize("number", [1, 4, 7])
def test_f_a_changed_column_is_found(trail, tmp_path, column, number):
    changed = {
        "at": "at + 0.001", "event": "event || '!'", "outcome": "outcome + 4", "who": "'x'",
        "what": "'x'", "sealed": "zeroblob(length(sealed))", "digest": "zeroblob(32)",
    }[column]  # fmt: skip
    broken(tmp_path, f"UPDATE audit SET {column} = {changed} WHERE audit_id = ?", number)
    assert any(str(number) in fault for fault in trail.verify().faults)


@pytest.mark.parametrize("number", [1, 4, 7])
def test_f_a_missing_row_is_found(trail, tmp_path, number):
    broken(tmp_path, "DELETE FROM audit WHERE audit_id = ?", number)
    assert len(trail.verify().faults) >= 1


def test_a_chain_written_anew_does_not_open_and_is_not_the_expected_one(trail, tmp_path):
    """Whoever computes the digests anew cannot seal, and an anchor noted elsewhere tells."""
    anchor = trail.digest_of(7)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DELETE FROM audit")
        connection.execute("UPDATE audit_head SET last_id = 0, last_digest = zeroblob(32)")
    connection.close()
    other = AuditTrail.open(tmp_path / "ledger.db", tmp_path / "others-keys")
    other.append([entry(number) for number in range(1, 8)])
    other.close()
    faults = trail.verify().faults
    assert [fault for fault in faults if "does not open" in fault] == list(faults[:7])
    assert "without the key ring" in faults[7]
    assert trail.digest_of(7) != anchor


FORGED = {
    "the end is cut": lambda rows: rows[:5],
    "all but the first are gone": lambda rows: rows[:1],
    "nothing was ever written": lambda rows: [],
    "the front is gone": lambda rows: rows[2:],
    "another did it": lambda rows: [(*row[:4], "somebody else", *row[5:]) for row in rows],
    "it was another day": lambda rows: [(row[0], row[1] + 86400.0, *row[2:]) for row in rows],
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_chain_forged_with_its_ends_but_without_the_key_is_found_for_good(trail, tmp_path, forge):
    """Everything computed anew as the code does it; only the key ring is not at hand."""
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        rows = connection.execute("SELECT * FROM audit ORDER BY audit_id").fetchall()
        kept = forge(rows)
        first = kept[0][0] if kept else 1
        before = digest = rows[first - 2][7] if first > 1 else audit.NO_DIGEST
        connection.execute("DELETE FROM audit")
        for row in kept:
            digest = audit._digest(digest, row[:7])
            connection.execute(audit._INSERT, (*row[:7], digest, row[8]))
        last = kept[-1][0] if kept else 0
        ends = (first, before, last, digest)
        connection.execute(
            "UPDATE audit_head SET first_id = ?, before_first = ?, last_id = ?, last_digest = ?",
            ends,
        )
    connection.close()
    told = "where the chain begins or ends was changed without the key ring"
    assert trail.verify().faults == (told,)
    trail.append([entry(8)])
    assert trail.verify().faults == (told,), "a message more does not make it good"


def test_a_trail_from_before_its_ends_were_sealed_is_whole_with_its_next_message(tmp_path):
    trail = AuditTrail.open(tmp_path / "ledger.db", tmp_path / "keys")
    assert trail.verify().faults == (), "nothing was written yet"
    trail.append([entry(1)])
    broken(tmp_path, "UPDATE audit_head SET sealed = NULL")
    assert len(trail.verify().faults) == 1
    trail.append([entry(2)])
    assert trail.verify().faults == ()
    trail.close()


def test_a_message_cut_short_is_found(trail, tmp_path):
    broken(tmp_path, "UPDATE audit SET sealed = substr(sealed, 1, 20) WHERE audit_id = 7")
    assert any("row 7 is not what was written" in fault for fault in trail.verify().faults)
    with pytest.raises(RecordDamaged):
        trail.message(7)


def test_two_rows_that_changed_places_are_found(trail, tmp_path):
    for number, target in ((3, 99), (4, 3), (99, 4)):
        broken(tmp_path, "UPDATE audit SET audit_id = ? WHERE audit_id = ?", target, number)
    assert any("row 3 is not what was written" in fault for fault in trail.verify().faults)


def test_two_writers_make_one_chain(trail, tmp_path):
    other = AuditTrail.open(tmp_path / "ledger.db", tmp_path / "keys")
    for number in range(10):
        (trail, other)[number % 2].append([entry(number)])
    other.close()
    assert (trail.verify().rows, trail.verify().faults) == (17, ())


def test_old_rows_go_only_when_they_were_shipped_and_the_rest_stays_whole(trail):
    assert trail.prune(1005.0, is_shipped=True) == 0
    trail.shipped(2)
    assert trail.prune(1005.0, is_shipped=True) == 2
    assert trail.prune(1005.0, is_shipped=False) == 2
    assert trail.prune(9999.0, is_shipped=False) == 2, "the last row stays"
    assert (trail.verify().rows, trail.verify().faults) == (1, ())
    assert [row.audit_id for row, _ in trail.after(0, 10)] == [7]


def test_pages_and_filters(trail):
    trail.append([entry(9, "received")])
    assert [one.audit_id for one in trail.page(3)] == [8, 7, 6]
    assert [one.audit_id for one in trail.page(3, 3)] == [2, 1]
    assert [one.what for one in trail.page(9, event="received")] == ["1.2.9"]
    assert trail.page(9, who="nobody") == () and len(trail.page(9, what="1.2.3")) == 1


class Told:
    """A ledger with its trail, and what was told of it."""

    def __init__(self, folder):
        self.clock = TestClock()
        self.ledger = SqliteLedger.open(folder / "ledger.db", self.clock, "boot")
        self.keys = KeyRing.open(folder / "keys")
        self.trail = AuditTrail.open(folder / "ledger.db", folder / "keys")

    def tell(self):
        told = []

        def note(due):
            told.append(due)
            return [entry(1)]

        tell_due(self.trail, self.clock.now(), 10.0, note)
        return told

    def catalogue(self, study="1.2.3"):
        attributes = {0x00100020: "PID-1", 0x00100010: "A^B", 0x00080050: "ACC"}
        row = sealed_row(SeriesEntry(study, f"{study}.1", "1.2.9", attributes), self.keys.primary)
        self.ledger.put_catalogue(0, [row])

    def lease(self):
        return self.ledger.turn((), {"pacs": 10}, self.clock.now())

    def settle(self, leased, result=Result.DELIVERED, state=State.DELIVERED):
        settlements = [settled(one, result, state) for one in leased]
        self.ledger.turn(settlements, {}, self.clock.now())


@pytest.fixture
def told(tmp_path):
    made = Told(tmp_path)
    yield made
    made.trail.close()
    made.ledger.close()


def received(told):
    return [one for one in told if isinstance(one, Received)]


def sent(told):
    return [(one.begun, sum(one.delivered.values()), sum(one.failed.values()))
            for one in told if isinstance(one, Sent)]  # fmt: skip


def test_what_was_received_is_told_once_by_study_and_source(told):
    entries = [indexed(number) for number in range(4)]
    entries += [indexed(5, study="1.9"), indexed(6, station=None)]
    told.ledger.index(entries)
    told.catalogue()
    assert told.tell() == [], "the batch may go on"
    told.clock.time += 11
    found = {(one.study_instance_uid, one.station): one for one in received(told.tell())}
    assert {key: sum(one.sop_classes.values()) for key, one in found.items()} == {
        ("1.2.3", "ct-1"): 4, ("1.9", "ct-1"): 1, ("1.2.3", None): 1,
    }  # fmt: skip
    assert found["1.2.3", "ct-1"].whose.patient.patient_id == "PID-1"
    assert found["1.9", "ct-1"].whose.patient.patient_id == "", "not described yet"
    assert told.tell() == [] and told.trail.head().instance_id == 6


def test_what_was_received_before_the_clock_was_set_back_is_told(told):
    told.ledger.index([indexed(1, at=2_000_000.0)])
    assert len(received(told.tell())) == 1


def test_a_task_is_told_when_it_begins_and_when_it_has_ended_and_been_quiet(told):
    told.ledger.index([indexed(number, owed()) for number in range(3)])
    told.catalogue()
    leased = told.lease()
    assert sent(told.tell()) == [(True, 0, 0)]
    told.settle(leased[:2])
    told.clock.time += 60
    assert sent(told.tell()) == [], "one is still being sent"
    told.settle(leased[2:], Result.DEAD, State.DEAD)
    assert sent(told.tell()) == [], "something may join it"
    told.clock.time += 11
    assert sent(told.tell()) == [(False, 2, 1)]
    assert told.tell() == []


def test_a_task_that_is_tried_again_tells_only_what_is_new(told):
    told.ledger.index([indexed(number, owed()) for number in range(3)])
    leased = told.lease()
    told.settle(leased[:2])
    told.settle(leased[2:], Result.DEAD, State.DEAD)
    told.clock.time += 11
    assert sent(told.tell()) == [(True, 0, 0), (False, 2, 1)]
    told.ledger.retry(by="ana")
    told.settle(told.lease())
    told.clock.time += 11
    assert sent(told.tell()) == [(False, 1, 0)]


def test_a_crash_while_telling_tells_again_and_never_twice(told):
    told.ledger.index([indexed(1, owed())])
    told.settle(told.lease())
    told.clock.time += 11

    def crash(_due):
        raise MemoryError

    before = told.trail.head()
    with pytest.raises(MemoryError):
        tell_due(told.trail, told.clock.now(), 10.0, crash)
    assert told.trail.head() == before
    again = told.tell()
    assert len(received(again)) == 1 and sent(again) == [(True, 0, 0), (False, 1, 0)]


def test_a_ledger_from_before_the_trail_tells_only_what_happens_from_now_on(tmp_path, monkeypatch):
    every = database._migrations()
    late = [text for _, text in every if " audit" in text]
    assert len(late) == 3, "the trail, the keys of its messages, the seal of its ends"
    steps = [one for one in every if one[1] not in late]
    monkeypatch.setattr(database, "_migrations", lambda: steps)
    old = SqliteLedger.open(tmp_path / "ledger.db", TestClock(), "boot")
    old.index([indexed(1, owed()), indexed(2, owed(), study="1.9")])
    leased = old.turn((), {"pacs": 10}, TestClock().now())
    old.turn([settled(leased[0])], {}, TestClock().now())
    old.close()
    steps += enumerate(late, steps[-1][0] + 1)
    told = Told(tmp_path)
    told.clock.time += 11
    assert told.tell() == []
    told.ledger.turn([settled(leased[1])], {}, told.clock.now())
    told.clock.time += 11
    assert sent(told.tell()) == [(False, 1, 0)], "what ends now is told, though it began before"
    told.trail.close()
    told.ledger.close()


def test_whose_study_it_was_is_known_after_it_is_gone(tmp_path):
    store = open_store(tmp_path)
    entry_ = store.keep(1, b"x" * 100)
    trail = AuditTrail.open(tmp_path / "ledger" / "ledger.db", tmp_path / "keys")
    attributes = {0x00100020: "PID-1", 0x00100010: "A^B", 0x00080050: "ACC"}
    series = SeriesEntry("1.2.3", "1.2.3.1", entry_.instance.sop_instance_uid, attributes)
    store.ledger.put_catalogue(1, [sealed_row(series, store.keys.primary)])
    assert whose(trail, "1.2.3").accession_number == "ACC"
    with trail.database.write() as connection:
        connection.execute("UPDATE instance SET disposition = 'discarded'")
    assert store.ledger.drop_segment(entry_.ref.segment, {})
    assert whose(trail, "1.2.3").patient.patient_id == ""
    found = []
    tell_due(trail, store.clock.now(), 10.0, lambda due: found.append(due) or [])
    (gone,) = [one for one in found if isinstance(one, Deleted)]
    assert (gone.study_instance_uid, gone.series) == ("1.2.3", ("1.2.3.1",))
    assert (gone.whose.patient.patient_id, gone.whose.patient.name) == ("PID-1", "A^B")
    trail.close()
    store.close()
