"""The same object once more: nothing is lost, nothing is sent twice at once, and both are counted."""

from __future__ import annotations

import pytest

from router.model.delivery import Disposition, Result, State
from router.model.instance import Source
from tests.support.inside import CT1, Edge
from tests.support.store_making import settled
from tests.support.synthetic import instance

SITE = """\
stations:
  ct-1: {{ae_title: CT1, host: 10.0.0.1, duplicates: {{{policy}}}}}
  ct-2: {{ae_title: CT2, host: 10.0.0.2}}
  pacs: {{ae_title: PACS, host: pacs.example, port: 104, send: true}}
rules:
  - {{name: everything, route: [pacs]}}
"""
CT2 = Source("lan", "CT2", "EDGE", "10.0.0.2", "ct-2")


@pytest.fixture
def edge_with(tmp_path):
    made = []

    def make(policy=""):
        made.append(Edge(tmp_path, SITE.format(policy=policy)))
        return made[-1]

    yield make
    for one in made:
        one.index()
        assert one.ledger.account().differences == ()
        one.close()


def version(number=1):
    return instance(1, rows=8, columns=8, changes={0x00200013: ("IS", str(number))})


def deliver(edge):
    leased = edge.lease()
    edge.ledger.turn([settled(one) for one in leased], {}, edge.clock.now())
    return [edge.store.read(one.record) for one in leased]


def states(edge):
    return [
        one.state.value
        for held in edge.ledger.find_instances(version().sop_instance_uid)
        for one in edge.ledger.deliveries_of_instance(held.instance_id)
    ]


def test_p5_the_same_bytes_again_are_success_and_nothing_new(edge_with):
    edge = edge_with()
    edge.keep(version())
    assert len(deliver(edge)) == 1
    edge.keep(version(), version())
    assert deliver(edge) == []
    assert edge.ledger.account().instances["duplicate"] == 2


def test_p5_send_again_sends_what_is_not_on_its_way(edge_with):
    edge = edge_with("same_content: send_again")
    edge.keep(version())
    edge.keep(version())
    assert len(deliver(edge)) == 1, "never two at once"
    edge.keep(version())
    assert deliver(edge) == [version().data_set]
    edge.keep(version(), source=CT2)
    edge.keep(version(), source=CT2)
    assert len(deliver(edge)) == 1, "the wish is of one station"


def test_p5_a_new_version_goes_behind_the_old_one_and_is_what_is_held(edge_with):
    edge = edge_with()
    edge.keep(version(1))
    (first,) = edge.lease()
    edge.keep(version(2))
    assert edge.lease() == (), "the old one is on its way"
    again = settled(first, Result.RETRY, State.QUEUED, due_at=edge.clock.now() + 60)
    edge.ledger.turn([again], {}, edge.clock.now())
    assert edge.lease() == (), "and would arrive after the new one"
    edge.ledger.retry()
    edge.ledger.turn([settled(first)], {}, edge.clock.now())
    assert deliver(edge) == [version(2).data_set]
    held = edge.ledger.held_versions(version().study_instance_uid)
    assert [one.instance_id for one in held] == [2]
    assert edge.ledger.account().instances["routed"] == 2


def test_p5_replace_cancels_what_waits_of_the_old_version(edge_with):
    edge = edge_with("other_content: replace")
    edge.keep(version(1))
    edge.keep(version(2))
    assert states(edge) == ["cancelled", "queued"]
    (task,) = edge.ledger.tasks()
    assert task.status_reason == "", "the task goes on with the new one"
    assert deliver(edge) == [version(2).data_set]
    assert "replaced" in edge.ledger.deliveries_of(task.task_id)[0].last_error


def test_p5_quarantine_keeps_the_other_version_apart(edge_with):
    edge = edge_with("other_content: quarantine")
    edge.keep(version(1), source=CT2)
    edge.keep(version(2), source=CT1)
    edge.keep(version(3), source=CT2)
    held = edge.ledger.find_instances(version().sop_instance_uid)
    assert [one.disposition for one in held] == [
        Disposition.ROUTED,
        Disposition.QUARANTINED,
        Disposition.ROUTED,
    ]
    assert deliver(edge) == [version(1).data_set]
    assert deliver(edge) == [version(3).data_set]
    edge.keep(version(2), source=CT1)
    assert deliver(edge) == [], "when it comes again, too"
    assert edge.ledger.account().instances["duplicate"] == 1


@pytest.mark.parametrize("status", [0x0111, 0xB00E])
def test_p9_it_was_there_already_is_no_receipt_for_another_version(edge_with, status):
    edge = edge_with("same_content: send_again")
    edge.keep(version(1))
    assert len(deliver(edge)) == 1
    edge.keep(version(1))
    (again,) = edge.lease()
    edge.ledger.turn([settled(again, status=status)], {}, edge.clock.now())
    edge.keep(version(2))
    (other,) = edge.lease()
    edge.ledger.turn([settled(other, status=status)], {}, edge.clock.now())
    assert states(edge) == ["delivered", "delivered", "dead"]
    (failed,) = [one for one in edge.ledger.tasks() if one.status == "Failed"]
    assert "keeps the other version" in failed.status_reason
