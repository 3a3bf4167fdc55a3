"""f14: what a token limited to organizations reaches, and that nothing is open to it by oversight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.model.task import TaskFilter
from router.store.access import AccessBook
from router.web.access import Identity
from router.web.api.endpoints import ENDPOINTS
from router.web.pages.routes import PAGES
from router.web.reach import (
    details_within,
    reach_of,
    reaches,
    sees_study,
    studies_in_reach,
    task_within,
)
from tests.support.configuration import loaded
from tests.support.store_making import TestClock, indexed, open_store, owed

OPEN = {
    "GET /status", "GET /organizations", "GET /stations", "GET /stations/export",
    "GET /stations/{name}", "POST /stations/{name}/test", "GET /tasks", "POST /tasks",
    "GET /tasks/{id}", "POST /tasks/{id}/retry", "POST /tasks/{id}/cancel", "POST /tasks/{id}/hold",
    "POST /tasks/{id}/resume", "POST /tasks/{id}/priority", "GET /studies", "POST /studies/search",
    "GET /studies/{uid}", "GET /studies/{uid}/instances", "POST /query", "POST /retrievals",
    "GET /retrievals",
}  # fmt: skip
"""What answers them. One more needs a reason, and a look at what it tells of others."""
SITE = """\
organizations: {A: {}, A1: {parent: A}, B: {}}
stations:
  ct-a: {ae_title: CTA, organization: A1}
  pacs-a: {ae_title: PACSA, host: a, port: 104, send: true, organization: A}
  ct-b: {ae_title: CTB, organization: B}
"""
OF_A = frozenset({"ct-a", "pacs-a"})


def who(*organizations):
    return Identity("ana", frozenset({"read"}), 1, organizations)


@pytest.fixture
def plan(tmp_path):
    return loaded(tmp_path / "site", SITE).plan


@pytest.fixture
def ledger(tmp_path):
    store = open_store(tmp_path)
    yield store.ledger
    store.close()


def test_f14_only_what_looks_at_organizations_answers_who_is_limited():
    assert {f"{one.method} {one.path}" for one in ENDPOINTS if one.within} == OPEN
    assert {one.path for one in PAGES if not one.within} == {
        "/rules", "/configuration", "/configuration/files/{path}", "/audit", "/audit/{id}", "/system",
    }  # fmt: skip


def test_f14_reach_is_that_of_the_organization_and_those_below_it(plan):
    assert reach_of(plan, who()) is None and reaches(None, "anything")
    assert reach_of(plan, who("A")) == OF_A
    assert reach_of(plan, who("A1", "B")) == {"ct-a", "ct-b"}
    assert reach_of(plan, who("gone")) == frozenset(), "it fails closed"
    assert not reaches(OF_A, "ct-b") and not reaches(OF_A, None)


@pytest.mark.parametrize(
    ("instances", "is_theirs"),
    [
        ([("ct-a", ())], True),
        ([("ct-b", ("pacs-a",))], True),
        ([("ct-a", ("pacs-b",))], True),
        ([("ct-b", ())], False),
        ([("ct-b", ("pacs-b",))], False),
        ([(None, ())], False),
        ([(None, ("pacs-a",))], True),
        ([("ct-a", ()), ("ct-b", ())], False),
        ([("ct-a", ()), ("ct-b", ("pacs-b", "pacs-a"))], True),
        ([], False),
    ],
)
def test_f14_a_study_is_theirs_when_every_instance_came_from_them_or_goes_to_them(
    ledger, instances, is_theirs
):
    for number, (source, stations) in enumerate(instances):
        owes = [owed(name, rule=name) for name in stations]
        ledger.index([indexed(number, *owes, study="1.2", station=source)])
    ledger.index([indexed(99, study="1.3", station="ct-b")])
    assert sees_study(ledger, OF_A, "1.2") is is_theirs
    assert studies_in_reach(ledger, OF_A, ["1.2", "1.3"]) == ({"1.2"} if is_theirs else set())
    assert studies_in_reach(ledger, None, ["1.2", "x"]) == {"1.2", "x"}


def test_f14_sending_an_object_once_more_makes_it_not_theirs(ledger):
    """A duplicate has nothing new: the first counts."""
    ledger.index([indexed(1, study="1.2", station="ct-b", data=b"x")])
    ledger.index([indexed(1, owed("pacs-a"), study="1.2", station="ct-a", data=b"x")])
    assert not sees_study(ledger, OF_A, "1.2")


def test_f14_a_task_is_told_without_what_is_anothers(plan, ledger):
    ledger.index([indexed(1, owed("pacs-a", rule="ct-b"))])
    ledger.index([indexed(2, owed("pacs-b"))])
    wanted = TaskFilter(direction="send", stations=OF_A)
    (task,) = ledger.tasks(limit=9, wanted=wanted)
    task = replace(task, moved=1, status_reason="1 moved on to 'pacs-b'", note="for study 9.9")
    told = task_within(plan, OF_A, task)
    assert (told.requester, told.status_reason, told.note) == ("", "", "")
    assert task_within(plan, None, task) is task
    assert task_within(plan, OF_A, replace(task, requester="a rule")).requester == "a rule"
    details = {
        "deliveries": [{"state": "moved", "last_error": "to pacs-b"}, {"state": "dead", "last_error": "x"}],
        "events": [{"kind": "moved", "message": "pacs-b"}, {"kind": "created", "message": "ct-b"},
                   {"kind": "retried", "message": "by ana"}],
    }  # fmt: skip
    told = details_within(OF_A, details)
    assert [one["last_error"] for one in told["deliveries"]] == ["", "x"]
    assert [(one["kind"], one["message"]) for one in told["events"]] == [
        ("created", ""), ("retried", "by ana"),
    ]  # fmt: skip
    assert details_within(None, details) is details
    assert ledger.tasks(limit=9, wanted=TaskFilter(stations=frozenset())) == ()


def test_f14_a_session_has_the_limits_of_its_token(tmp_path):
    book = AccessBook.open(tmp_path / "ledger.db", TestClock())
    token, text = book.issue("ana", {"read"}, 60, organizations=["B", "Å 'x'", "B"])
    assert token.organizations == ("B", "Å 'x'") == book.bearer(text).organizations
    _, cookie = book.log_in(text)
    assert book.session(cookie).organizations == token.organizations
    assert book.tokens()[0].organizations == token.organizations
    _, free = book.issue("ben", {"read"}, 60)
    assert book.bearer(free).organizations == ()
    book.close()
