"""The ledger's rows of earlier studies to be fetched."""

from __future__ import annotations

import pytest

from router.model.instance import Source
from router.store import priors
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import TestClock, indexed, owed

NOW = 1_000_000.0
ARCHIVE = Source("lan", "ARCH", "EDGE", "10.0.0.9", "archive")


@pytest.fixture
def ledger(tmp_path):
    opened = SqliteLedger.open(tmp_path / "ledger.db", TestClock(), "boot-1")
    yield opened
    opened.close()


def arrives(ledger, number, study, rule="all", **facts):
    return ledger.index([indexed(number, owed(rule=rule), study=study, **facts)])[0]


def notice(ledger, *rules, plan="plan"):
    return ledger.notice_priors(rules, ["archive"], plan, NOW)


def test_f99_a_study_is_noticed_once_for_each_rule_by_its_first_instance(ledger):
    first = arrives(ledger, 1, "1.1")
    arrives(ledger, 2, "1.1")
    arrives(ledger, 3, "1.2", rule="other")
    arrives(ledger, 4, "1.3", source=ARCHIVE)
    assert notice(ledger, "all") == 1
    assert notice(ledger, "all") == 0
    arrives(ledger, 5, "1.1")
    assert notice(ledger, "all") == 0
    (prior,) = ledger.priors()
    assert (prior.study_instance_uid, prior.rule, prior.instance_id) == ("1.1", "all", first)
    assert ledger.due_priors(NOW, 9) == (prior,)


def test_who_begins_to_look_begins_with_what_came_under_its_plan(ledger):
    arrives(ledger, 1, "1.1")
    assert notice(ledger, "all", plan="another plan") == 0
    arrives(ledger, 2, "1.2")
    assert notice(ledger, "all", plan="another plan") == 1
    assert notice(ledger) == 0, "nobody looks"
    arrives(ledger, 3, "1.3")
    assert notice(ledger, "all", plan="another plan") == 0, "nor did anybody when it came"


def test_what_is_due_when_the_clock_is_set_back_does_not_wait_for_it(ledger):
    notice(ledger, "all")
    arrives(ledger, 1, "1.1")
    notice(ledger, "all")
    (prior,) = ledger.due_priors(NOW, 9)
    ledger.settle_prior(prior.prior_id, "waiting", "outside its hours", NOW, NOW + 60, tried=False)
    assert ledger.due_priors(NOW + 59, 9) == ()
    (due,) = ledger.due_priors(NOW - 86400, 9)
    assert due.tries == 0, "what was not tried is no try"


def test_what_is_noticed_is_looked_for_among_what_came_and_not_in_all_that_is_held(ledger):
    with ledger._database.read() as connection:
        statement = f"EXPLAIN QUERY PLAN {priors._NOTICE}"
        steps = connection.execute(statement, (1, 2000, '["all"]', "[]", NOW)).fetchall()
    assert steps[0][3] == "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"


def test_a_try_moves_it_and_an_end_ends_it(ledger):
    notice(ledger, "all")
    arrives(ledger, 1, "1.1")
    notice(ledger, "all")
    (prior,) = ledger.due_priors(NOW, 9)
    ledger.settle_prior(prior.prior_id, "waiting", "x" * 9000, NOW, NOW + 60)
    assert ledger.due_priors(NOW + 59, 9) == ()
    (again,) = ledger.due_priors(NOW + 60, 9)
    assert (again.tries, len(again.message)) == (1, 500)
    ledger.settle_prior(prior.prior_id, "fetched", "all", NOW)
    assert ledger.due_priors(NOW * 2, 9) == ()
    assert [one.state for one in ledger.priors()] == ["fetched"]
