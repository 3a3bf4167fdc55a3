"""F28: two routers send everything to each other; it ends, is told, and nothing is lost."""

from __future__ import annotations

from router.store.looping import MOST_VERSIONS
from tests.conftest import RouterFactory
from tests.support import synthetic
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.sender import Sender

SITE = """\
version: 1
router: {name: $router_name, ae_title: $own, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$here", accept: any}
stations:
  other: {ae_title: $its, host: 127.0.0.1, port: $there, send: true}
rules:
  - {name: computed images, match: {Modality: CT}, route: [other]}
  - {name: the others, match: {not: {Modality: CT}}, morph: $morph, route: [other]}
"""


def pair(router: RouterFactory) -> tuple[Router, Router]:
    """Two routers, each the other's destination; the first changes all that is no CT."""
    ports = free_port(), free_port()
    edges = []
    for number, (name, its, morph) in enumerate(
        (("NORTH", "SOUTH", "[{suffix: {StationName: x}}]"), ("SOUTH", "NORTH", "[]"))
    ):
        here, there = ports[number], ports[1 - number]
        names = {"router_name": name.lower(), "own": name, "its": its, "morph": morph}
        edges.append(router(SITE, here=here, there=there, **names))
        edges[-1].port = here
    return edges[0], edges[1]


def send(edge: Router, number: int, modality: str) -> None:
    item = synthetic.instance(number, modality=modality)
    contexts = [(item.sop_class_uid, [item.transfer_syntax_uid])]
    with Sender(edge.port, contexts, called_ae_title="NORTH") as sender:
        status = sender.store(
            item.sop_class_uid, item.sop_instance_uid, item.transfer_syntax_uid, [item.data_set]
        )
    assert status == 0


def reasons(edge: Router) -> set[str]:
    """Why tasks failed, as `tasks list` says it."""
    return {task["status_reason"] for task in edge.tasks()["tasks"] if task["status"] == "Failed"}


def test_F28_what_is_changed_each_time_round_ends_with_the_reason(router: RouterFactory) -> None:
    north, south = pair(router)

    send(north, 1, "CT")
    # From the scanner and from the other router: two senders, so it goes round once more.
    wait_until(lambda: south.deliveries().get("delivered", 0) == 1, 20, what="sent back")
    north.wait_until_drained()
    south.wait_until_drained()
    assert (north.instances()["received"], south.instances()["received"]) == (2, 2)

    send(north, 2, "MR")
    wait_until(lambda: reasons(north) | reasons(south), 60, what="the loop is ended")
    north.wait_until_drained()
    south.wait_until_drained()
    assert all(each.startswith("routing loop: ") for each in reasons(north) | reasons(south))
    for edge in (north, south):
        assert MOST_VERSIONS <= edge.instances()["received"] <= MOST_VERSIONS + 4
