"""Storage commitment in the ledger: what moves a delivery that is sent, and what survives."""

import sqlite3
from dataclasses import replace
from importlib import resources

import pytest

from router.model.commitment import CommitmentReport, CommitmentRequest, Reference
from router.model.delivery import Outcome, Result, State
from router.model.rejection import Rejection
from router.model.task import TaskFilter
from router.store import rejecting
from router.store.commitment_requests import MAX_ASKED, CommitmentRequests
from router.store.commitments import MAX_OPEN, CommitmentBook, Taken
from router.store.counting import Counts
from router.store.ledger import Settlement
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import TestClock, indexed, instance, owed

CT = "1.2.840.10008.5.1.4.1.1.2"
GIVE_UP = 7 * 86400.0


class Site:
    """A ledger with two objects sent to `pacs`, which has not yet committed."""

    def __init__(self, folder):
        self.clock = TestClock()
        self.path = folder / "ledger.db"
        self.ledger = SqliteLedger.open(self.path, self.clock, "boot")
        self.requests = CommitmentRequests.open(self.path, self.clock)
        self.book = CommitmentBook.open(self.path, self.clock)
        self.ledger.index([indexed(number, owed()) for number in (1, 2)])
        self.send(2)

    def send(self, number):
        leased = self.ledger.turn((), {"pacs": 10}, self.clock.now())
        assert len(leased) == number
        done = [
            Settlement(
                Outcome(
                    one.delivery_id, Result.DELIVERED, sent_as=(CT, one.sop_instance_uid, "1.2.3")
                ),
                None,
                State.SENT,
            )
            for one in leased
        ]
        self.ledger.turn(done, {}, self.clock.now())

    def ask(self, uid="9.1", wait=100.0):
        self.clock.time += 2
        return self.requests.ask("pacs", uid, self.clock.now() + wait, GIVE_UP)

    def report(self, uid, kept=(), failed=(), reason=0x0112, station="pacs"):
        told = CommitmentReport(
            uid,
            tuple(Reference(CT, one) for one in kept),
            {Reference(CT, one): reason for one in failed},
        )
        return self.requests.take_report(station, told, self.clock.now() + 30)

    def counts(self):
        account = self.ledger.account()
        assert account.balanced, account.differences
        return {name: number for name, number in account.stations["pacs"].items() if number}


FIRST, SECOND = "1.2.826.0.1.1", "1.2.826.0.1.2"


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    for one in (made.requests, made.book, made.ledger):
        one.close()


def test_p12_what_is_sent_is_owed_until_it_is_committed(site):
    assert site.counts() == {"created": 2, "sent": 2}
    assert len(site.ledger.owed_records()) == 2, "its bytes must be kept: it may be sent again"
    (task,) = site.ledger.tasks()
    assert (task.status, task.delivered) == ("In Progress", 0)
    assert "commitment is awaited" in task.status_reason
    asking = site.ask()
    assert {one.sop_instance_uid for one in asking.request.references} == {FIRST, SECOND}
    assert site.ask("9.2") is None, "it is under way"
    assert site.report("9.1", [FIRST]).delivered == 1
    assert site.counts() == {"created": 2, "sent": 1, "delivered": 1}
    assert site.report("9.1", [FIRST, SECOND]).delivered == 1, "what is settled stays"
    (task,) = site.ledger.tasks()
    assert task.status == "Completed"
    assert site.ledger.owed_records() == ()


def test_who_is_no_party_to_it_settles_nothing(site):
    site.ask()
    assert site.report("9.1", [FIRST], station="ws") is None
    assert site.report("9.9", [FIRST]) is None
    assert site.report("9.1", ["1.2.3.4"]).delivered == 0
    assert site.counts() == {"created": 2, "sent": 2}


def test_not_committed_is_sent_again_and_then_dead(site):
    for turn in range(3):
        site.ask(f"9.{turn}")
        taken = site.report(f"9.{turn}", [SECOND], [FIRST])
        assert (taken.again, taken.dead) == ((1, 0) if turn < 2 else (0, 1))
        if turn < 2:
            assert site.counts() == {"created": 2, "delivered": 1, "queued": 1}
            site.clock.time += 60
            site.send(1)
    assert site.counts() == {"created": 2, "delivered": 1, "dead": 1}
    (task,) = site.ledger.tasks()
    assert task.status_reason == "not committed: 0x0112 no such object instance"
    assert site.ledger.retry() == 1


@pytest.mark.parametrize("reason", [0x0119, 0x0122])
def test_what_sending_again_cannot_mend_is_dead_at_once(site, reason):
    site.ask()
    assert site.report("9.1", [], [FIRST], reason).dead == 1


def test_F_a_station_that_never_reports_is_asked_again_and_given_up(site):
    for turn in range(MAX_ASKED):
        asking = site.ask(f"9.{turn}")
        site.requests.asked(asking.request_id, site.clock.now() + 3600)
        assert site.ask("8.8") is None
        site.clock.time += 3601
    assert site.counts() == {"created": 2, "sent": 2}, "not before the time to give up"
    site.clock.time += GIVE_UP
    assert site.ask("8.9") is None
    assert site.counts() == {"created": 2, "dead": 2}
    (task,) = site.ledger.tasks()
    assert "never reported" in task.status_reason


def test_what_was_never_committed_is_asked_for_again_once_it_is_sent_again(site):
    site.clock.time += GIVE_UP
    for turn in range(MAX_ASKED):
        asking = site.ask(f"9.{turn}")
        site.requests.asked(asking.request_id, site.clock.now())
    assert site.ask("9.8") is None
    assert site.counts() == {"created": 2, "dead": 2}
    assert site.ledger.retry() == 2
    site.send(2)
    assert site.ask("9.9") is not None
    assert site.counts() == {"created": 2, "sent": 2}


def test_what_was_rejected_since_is_not_sent_again(site):
    """A note for patient safety names the first, and then the station says it has it not."""
    site.ask()
    note = Rejection("113037", (FIRST,))
    with sqlite3.connect(site.path) as connection:
        rejecting.apply(connection, Counts(), instance(9), note, site.clock.now())
    site.report("9.1", [SECOND], [FIRST])
    assert site.counts() == {"created": 2, "delivered": 1, "cancelled": 1}


def test_another_version_that_the_station_keeps_is_no_receipt(site):
    """It holds the first version, answers 0x0111 to the second, and would commit to the UID."""
    site.ask()
    site.report("9.1", [FIRST, SECOND])
    site.ledger.index([indexed(1, owed(), content_digest=b"other")])
    (leased,) = site.ledger.turn((), {"pacs": 10}, site.clock.now())
    there = Outcome(
        leased.delivery_id, Result.DELIVERED, status=0x0111, sent_as=(CT, FIRST, "1.2.3")
    )
    site.ledger.turn([Settlement(there, None, State.SENT)], {}, site.clock.now())
    assert site.counts() == {"created": 3, "delivered": 2, "dead": 1}


def test_a_late_report_of_an_earlier_request_still_counts_for_but_not_against(site):
    site.ask("9.1", wait=1)
    site.ask("9.2", wait=100)
    assert site.report("9.1", [FIRST], [SECOND]).delivered == 1
    assert site.counts() == {"created": 2, "sent": 1, "delivered": 1}


def test_a_station_that_refuses_to_be_asked_says_so_in_the_task_log(site):
    asking = site.ask()
    site.requests.not_asked(
        asking.request_id, site.clock.now() + 30, "no such service", counts=True
    )
    (task,) = site.ledger.tasks()
    assert task.status_reason == "not yet committed: no such service"
    assert site.ask("9.2") is None
    site.clock.time += 60
    assert site.ask("9.3") is not None


def test_no_longer_asked_to_commit_is_delivered(site):
    site.ask()
    assert site.requests.settle_unasked("pacs") == 0, "another configuration may just have begun"
    site.clock.time += 61
    assert site.requests.settle_unasked("pacs") == 2
    assert site.counts() == {"created": 2, "delivered": 2}


def test_what_a_station_asks_survives_and_is_decided_once(site):
    asked = CommitmentRequest("7.1", (Reference(CT, FIRST), Reference(CT, "1.9")))
    assert site.book.take("ct-1", asked) is Taken.NEW
    assert site.book.take("ct-1", asked) is Taken.AGAIN
    assert site.book.take("ct-2", asked) is Taken.NEW, "UIDs of another station are its own"
    other = replace(asked, references=asked.references[:1])
    assert site.book.take("ct-1", other) is Taken.IN_USE
    site.book.close()
    book = CommitmentBook.open(site.path, site.clock)
    due = book.to_verify()
    undecided = book.undecided(due.commitment_id)
    assert [one.owed[0].state if one else None for _, one in undecided.values()] == [
        State.SENT,
        None,
    ]
    assert not book.decide(due.commitment_id, {1: 0x0112}, site.clock.now() + 5)
    assert list(book.undecided(due.commitment_id)) == [0]
    assert book.decide(due.commitment_id, {0: 0}, 0.0)
    held = book.to_report(600.0, ())
    assert book.to_report(600.0, ()) is None, "it is spoken for"
    told = book.report_of(held)
    assert told.committed == (Reference(CT, FIRST),)
    assert told.failed == {Reference(CT, "1.9"): 0x0112}
    book.not_reported(held.commitment_id, site.clock.now() + 5, "away")
    site.clock.time += 6
    assert book.to_report(600.0, {"ct-1"}) is None
    assert book.to_report(600.0, ()).attempts == 1
    site.clock.time -= 30 * 86400
    assert book.to_report(600.0, ()) is not None, "a clock that was set back holds nothing up"
    site.clock.time += 30 * 86400
    book.reported(held.commitment_id)
    assert [one.state for one in book.asked_of(FIRST)] == ["reported", "verifying"]
    site.clock.time += 40 * 86400
    assert book.prune(site.clock.now() - 30 * 86400) == 1
    book.close()


def test_a_station_has_so_many_transactions_open_and_no_more(site):
    for number in range(MAX_OPEN):
        site.book.take("ct-1", CommitmentRequest(f"7.{number}", (Reference(CT, FIRST),)))
    late = CommitmentRequest("8.1", (Reference(CT, FIRST),))
    assert site.book.take("ct-1", late) is Taken.TOO_MANY
    assert site.book.take("ct-2", late) is Taken.NEW


def test_nor_more_than_so_many_instances(site, monkeypatch):
    monkeypatch.setattr("router.store.commitments.MAX_OPEN_INSTANCES", 5)
    asked = tuple(Reference(CT, f"1.{number}") for number in range(6))
    assert site.book.take("ct-1", CommitmentRequest("7.1", asked)) is Taken.NEW, "one of any size"
    assert site.book.take("ct-1", CommitmentRequest("7.2", asked[:1])) is Taken.TOO_MANY
    site.book.decide(1, dict.fromkeys(range(6), 0), 0.0)
    site.book.reported(1)
    assert site.book.take("ct-1", CommitmentRequest("7.2", asked[:5])) is Taken.NEW


def commits(site):
    return site.ledger.tasks(wanted=TaskFilter(direction="commit"))


def ids(site):
    return [task.task_id for task in commits(site)]


def told(site):
    """Status, reason and counts of the only task of a commitment."""
    (task,) = commits(site)
    assert (task.station, task.requester, task.kind) == ("ct-1", "ct-1", "commit")
    counts = (task.objects, task.delivered, task.waiting, task.dead)
    return task.status, task.status_reason, counts


def test_what_a_station_asks_is_a_task_that_is_counted_from_its_references(site):
    asked = CommitmentRequest("7.1", tuple(Reference(CT, one) for one in (FIRST, SECOND, "1.9")))
    site.book.take("ct-1", asked)
    assert told(site)[0] == "In Progress"
    assert told(site)[2] == (3, 0, 3, 0)
    (task,) = commits(site)
    assert task.study_instance_uid == "1.2.3", "that of what is known of it"
    assert len(site.ledger.tasks()) == 1, "what is sent is not mixed up with it"
    site.book.decide(1, {0: 0, 2: 0x0112}, site.clock.now())
    assert told(site)[1:] == ("1 of 3 are not yet kept where they are owed", (3, 1, 1, 1))
    site.book.decide(1, {1: 0x0112}, site.clock.now())
    assert told(site)[:2] == ("In Progress", "the report is on its way")
    site.book.not_reported(1, site.clock.now(), "connection refused")
    status, reason, _ = told(site)
    assert (status, "connection refused" in reason) == ("On Hold", True)
    site.clock.time += 5
    site.book.reported(1)
    words = "2 of 3 not committed: 0x0112 no such object instance"
    assert told(site) == ("Failed", words, (3, 1, 0, 2))
    (task,) = commits(site)
    assert (task.ended_at, task.failures) == (site.clock.now(), 1)
    named = [
        (one.sop_instance_uid, one.failure_reason)
        for one in site.ledger.references_of(ids(site)[0])
    ]
    assert named == [(SECOND, 0x0112), ("1.9", 0x0112), (FIRST, 0)]
    kinds = [one.kind for one in site.ledger.events_of(task.task_id)]
    assert kinds == ["created", "verified", "not_reported", "reported"]
    site.clock.time += 40 * 86400
    assert site.book.prune(site.clock.now() - 30 * 86400) == 1
    assert commits(site) == ()


def test_a_commitment_that_all_was_kept_of_is_completed(site):
    site.book.take("ct-1", CommitmentRequest("7.1", (Reference(CT, FIRST),)))
    site.book.decide(1, {0: 0}, 0.0)
    site.book.reported(1)
    assert told(site) == ("Completed", "", (1, 1, 0, 0))
    assert site.ledger.retry(ids(site), by="ana") == 0, "there is nothing to mend"
    assert site.ledger.cancel(ids(site), by="ana") == 0


def test_retry_verifies_anew_what_was_not_committed_and_reports_once_more(site):
    asked = CommitmentRequest("7.1", (Reference(CT, FIRST), Reference(CT, "1.9")))
    site.book.take("ct-1", asked)
    site.book.decide(1, {0: 0, 1: 0x0112}, 0.0)
    site.book.reported(1)
    assert site.ledger.retry(None, "pacs") == 0, "--all is about deliveries"
    assert site.ledger.retry(ids(site), by="ana") == 1
    assert told(site)[0] == "In Progress"
    assert list(site.book.undecided(1)) == [1]
    assert site.book.to_verify() is not None
    site.book.decide(1, {1: 0}, 0.0)
    assert site.book.to_report(600.0, ()) is not None
    site.book.given_up(1, "away")
    assert told(site)[:2] == ("Failed", "the station never took the report: away")
    assert site.ledger.retry(ids(site), by="ana") == 1
    assert site.book.undecided(1) == {}
    assert site.book.decide(1, {}, 0.0), "nothing is left to verify: it is reported"


def test_cancelled_is_reported_to_nobody_unless_the_station_had_just_taken_it(site):
    asked = CommitmentRequest("7.1", (Reference(CT, FIRST),))
    site.book.take("ct-1", asked)
    assert site.ledger.cancel(ids(site), by="ana") == 1
    assert told(site)[:2] == ("Cancelled", "cancelled by ana")
    assert site.book.to_verify() is None
    site.book.decide(1, {0: 0}, 0.0)  # a look that was under way
    assert site.book.to_report(600.0, ()) is None
    assert [one.state for one in site.book.asked_of(FIRST)] == ["cancelled"]
    assert site.book.take("ct-1", asked) is Taken.AGAIN, "it may ask once more"
    site.book.decide(1, {0: 0}, 0.0)
    due = site.book.to_report(600.0, ())
    assert site.book.report_of(due) is not None
    site.ledger.cancel(ids(site), by="ana")
    assert site.book.report_of(due) is None, "it was cancelled before it was spoken"
    site.book.not_reported(1, 0.0, "too late")
    assert told(site)[0] == "Cancelled"
    site.book.reported(1)
    assert told(site)[0] == "Completed", "the station has it: that is the truth"


def test_open_transactions_of_a_ledger_of_before_become_tasks(tmp_path):
    path = ledger_of_before(
        tmp_path,
        "024",
        "INSERT INTO commitment (station, transaction_uid, digest, state, asked_at, ended_at, due_at)"
        " VALUES ('ct-1', '7.1', x'', 'reporting', 5, NULL, 5), ('ct-2', '7.2', x'', 'reported', 6, 7, 6);"
        "INSERT INTO commitment_reference VALUES (1, 0, 'c', '1.9', 0), (2, 0, 'c', '1.9', 274);",
    )
    ledger = SqliteLedger.open(path, TestClock(), "boot", quick_check=True)
    found = ledger.tasks(wanted=TaskFilter(direction="commit"))
    assert [(one.station, one.status, one.objects) for one in found] == [
        ("ct-2", "Failed", 1),
        ("ct-1", "In Progress", 1),
    ]
    ledger.close()


def ledger_of_before(folder, number, statements):
    """The file of a ledger as it was before this migration."""
    path = folder / "ledger.db"
    connection = sqlite3.connect(path)
    sql = resources.files("router.store").joinpath("sql")
    for entry in sorted(sql.iterdir(), key=lambda one: one.name):
        if entry.name < number:
            connection.executescript(entry.read_text())
            version = int(entry.name[:3])
    connection.executescript(
        f"PRAGMA application_id = 1146244167; PRAGMA user_version = {version}; {statements}"
    )
    connection.close()
    return path


def test_a_ledger_of_before_keeps_its_deliveries_and_gives_no_number_twice(tmp_path):
    """The migration rebuilds the table of deliveries: rows, numbers and balance stay."""
    path = ledger_of_before(
        tmp_path,
        "008",
        "INSERT INTO recipe VALUES ('none', '[]');"
        "INSERT INTO instance VALUES (1, x'01', 1, 0, 9, 'c', '1.2', '1', '1', 't', 'CT', 1, 1, x'', 1,"
        " 'lan', 'CT1', 'EDGE', '::1', 'ct-1', 'p', 'routed', NULL, '[]');"
        "INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at,"
        " last_modified_at) VALUES ('route', 1, 'pacs', 'all', '1', 1, 1);"
        "INSERT INTO delivery (delivery_id, instance_id, task_id, station, recipe_digest, priority,"
        " state, created_at, changed_at) VALUES (41, 1, 1, 'pacs', 'none', 1, 'queued', 1, 1),"
        " (77, 1, 1, 'ws', 'none', 1, 'dead', 1, 1);"
        "DELETE FROM delivery WHERE delivery_id = 77;"
        "INSERT INTO counter VALUES ('instance:received', '', 1), ('instance:routed', '', 1),"
        " ('delivery:created', 'pacs', 1), ('delivery:queued', 'pacs', 1);",
    )
    ledger = SqliteLedger.open(path, TestClock(), "boot", quick_check=True)
    assert ledger.account().differences == ()
    (leased,) = ledger.turn((), {"pacs": 9}, 1_000_000.0)
    assert leased.delivery_id == 41
    ledger.index([indexed(2, owed())])
    (new,) = ledger.turn((), {"pacs": 9}, 1_000_000.0)
    assert new.delivery_id == 78
    ledger.close()
