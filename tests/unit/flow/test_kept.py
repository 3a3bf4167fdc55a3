"""What is told of a held instance: what comes next of each state, and what is left when it is gone."""

from __future__ import annotations

import pytest

from router.flow.explain import explain, routed_as
from router.flow.kept import EVICTED, Kept, next_of
from router.flow.received import ReceiveHooks
from router.model.delivery import Priority, Result, State
from router.plugs import morphs
from router.store.ledger import Delivery, StationStatus
from tests.support.inside import MAPPING_KEY, Edge, plan_of
from tests.support.store_making import settled
from tests.support.synthetic import instance
from tests.unit.flow.test_explain import subject

MORPHS = {plug.name: plug for plug in morphs()}
SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
listeners:
  lan: {type: dimse, bind: "0.0.0.0:11112", accept: known_stations}
rules:
  - {name: all, morph: [set: {StationName: "{{ source.name }}"}], route: [pacs]}
"""


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE)
    yield made
    made.close()


def kept(edge, plan=None):
    return Kept(plan or edge.plan, edge.journal, edge.ledger, MORPHS, MAPPING_KEY, edge.clock)


def test_now_is_what_the_live_engine_says(edge):
    image = instance(1, rows=8, columns=8)
    edge.keep(image)
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    told = kept(edge).tell(stored)
    live = explain(edge.plan, subject(image), MORPHS, MAPPING_KEY)
    assert told.now is not None
    assert (told.now.rules, told.now.owed) == (live.rules, live.owed)
    assert told.differences == ()
    assert [one.changes for one in told.deliveries] == [live.owed[0].changes]
    assert told.now.decision == routed_as(edge.plan, subject(image), ReceiveHooks(MORPHS)).decision


def test_evicted_bytes_leave_the_decision_and_the_attempts(edge):
    image = instance(1, rows=8, columns=8)
    edge.keep(image)
    (leased,) = edge.lease()
    edge.ledger.turn(
        [settled(leased, Result.DEAD, State.DEAD, message="no room for this", status=0xA900)],
        {},
        edge.clock.now(),
    )
    with edge.ledger._database.write() as connection:
        connection.execute("UPDATE instance SET segment = NULL, place = NULL")
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    told = kept(edge).tell(stored)
    assert (told.now, told.not_told) == (None, EVICTED)
    (delivery,) = told.deliveries
    assert [(one.status, one.message) for one in delivery.attempts] == [
        (0xA900, "no room for this")
    ]
    assert delivery.requester == "all"
    assert stored.rules == ("all",)


def test_a_recipe_that_fails_says_so_where_the_changes_would_be(tmp_path):
    edge = Edge(tmp_path, SITE.replace("StationName:", "SeriesNumber:"))
    image = instance(1, rows=8, columns=8)
    edge.keep(image)
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    plan = plan_of(tmp_path / "new", SITE)
    (delivery,) = kept(edge, plan).tell(stored).deliveries
    assert "step 1 (set)" in delivery.failure
    assert delivery.changes == ()
    edge.close()


@pytest.mark.parametrize(
    ("state", "due_at", "last", "station", "said"),
    [
        (State.QUEUED, 0, "", "online", "when its turn comes"),
        (State.QUEUED, 0, "retried", "online", "when its turn comes"),
        (State.QUEUED, 160.0, "retry", "online", "again in 60 s"),
        (State.QUEUED, 0, "busy", "online", "asked for patience"),
        (State.QUEUED, 0, "unreachable", "online", "can be reached"),
        (State.QUEUED, 0, "hold", "online", "someone acts there"),
        (State.QUEUED, 160.0, "retry", "offline", "offline: no answer"),
        (State.SENDING, 0, "", "online", "being sent now"),
        (State.DELIVERED, 0, "", "offline", "the station has it"),
        (State.CANCELLED, 0, "", "online", "cancelled"),
        (State.DEAD, 0, "dead", "online", "tasks retry 7"),
        (State.QUARANTINED, 0, "quarantined", "online", "nothing was sent"),
    ],
)
def test_what_comes_next_is_said_of_every_state(state, due_at, last, station, said):
    delivery = Delivery(
        1, 1, 7, "pacs", "none", Priority.MEDIUM, state, 1, due_at, "", None, 0.0, 0.0, "1.2"
    )
    status = StationStatus("pacs", station, "no answer", 0.0, 0.0)
    assert said in next_of(delivery, last, status, 100.0)
