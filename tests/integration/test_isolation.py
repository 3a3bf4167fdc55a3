"""P8: one station's trouble is never another's, costs no attempt, and ends by itself (F16, F17)."""

from __future__ import annotations

import json
import time

from tests.conftest import RouterFactory
from tests.support.ledger_view import ledger_of, wait_for
from tests.support.load import renumbered, template
from tests.support.process import free_port, wait_until
from tests.support.proxy import Fault, FaultProxy
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  dead: {ae_title: DEAD, host: 127.0.0.1, port: $dead, send: true}
  mute: {ae_title: MUTE, host: 127.0.0.1, port: $mute, send: true, limits: {timeout: 120s}}
  healthy: {ae_title: FIT, host: 127.0.0.1, port: $healthy, send: true}
rules:
  - {name: to all three, route: [dead, mute, healthy]}
"""
OBJECTS = 200
MUTE_AFTER_BYTES = 5_000
OPEN = Script(max_pdu_bytes=0)


def test_p8_a_dead_and_a_mute_station_delay_no_other_and_get_theirs_in_the_end(
    router: RouterFactory,
) -> None:
    dead_port = free_port()
    with (
        ScriptedScp(OPEN) as healthy,
        ScriptedScp(OPEN) as behind,
        FaultProxy(behind.port, to_target=Fault(stall_after_bytes=MUTE_AFTER_BYTES)) as mute,
    ):
        edge = router(SITE, dead=dead_port, mute=mute.port, healthy=healthy.port)
        accepted = send(edge)
        wait_for(edge.data_dir, station="healthy", delivered=OBJECTS)
        arrived = {one.sop_instance_uid: one.at for one in healthy.stored}
        assert len(healthy.stored) == OBJECTS, "no object was sent twice"
        assert p99([arrived[uid] - at for uid, at in accepted.items()]) < 1.0
        assert not behind.stored
        assert mute.connections == 1, "the mute station is being waited for, not hammered"

        wait_for(edge.data_dir, station="dead", held=OBJECTS)
        told = stations_told(edge)
        assert told["dead"]["status"] == "offline"
        assert str(dead_port) in str(told["dead"]["reason"])
        assert "refused" in str(told["dead"]["reason"])
        assert told["dead"]["queued"] == OBJECTS
        assert told["healthy"]["status"] == "online"
        assert told["healthy"]["queued"] == 0
        account = edge.account()
        assert account["balanced"] is True
        assert account["stations"]["dead"]["held"] == OBJECTS  # type: ignore[index]
        assert attempts(edge, "dead") == {0}
        assert attempts(edge, "mute") == {0}

        with ScriptedScp(OPEN, port=dead_port) as back:
            wait_for(edge.data_dir, station="dead", delivered=OBJECTS)
            assert {one.sop_instance_uid for one in back.stored} == set(accepted)
            assert len(back.stored) == OBJECTS
        wait_until(lambda: stations_told(edge)["dead"]["status"] == "online", 5)
        assert attempts(edge, "dead") == {1}
        assert edge.deliveries()["dead"] == 0

        # The mute station's connection breaks; on the next one it reads again.
        mute.heal()
        mute.drop()
        wait_for(edge.data_dir, station="mute", delivered=OBJECTS)
        assert {one.sop_instance_uid for one in behind.stored} == set(accepted)


def send(edge: Router) -> dict[str, float]:
    """Send the objects, one after another; when each was acknowledged."""
    item = template(8, rows=32, columns=32)
    accepted: dict[str, float] = {}
    with Sender(edge.port, [(item.sop_class_uid, [item.transfer_syntax_uid])]) as sender:
        for number in range(OBJECTS):
            uid, data_set = renumbered(item, number)
            assert sender.store(item.sop_class_uid, uid, item.transfer_syntax_uid, data_set) == 0
            accepted[uid] = time.monotonic()
    return accepted


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def stations_told(edge: Router) -> dict[str, dict[str, object]]:
    """What `status` says of each station."""
    code, output, errors = edge.command("status", "--format", "json")
    assert code == 0, errors
    return {station["name"]: station for station in json.loads(output)["stations"]}


def attempts(edge: Router, station: str) -> set[int]:
    """The numbers of attempts that deliveries of the station have used."""
    with ledger_of(edge.data_dir) as ledger:
        return {
            delivery.attempts
            for task in ledger.tasks(station=station)
            for delivery in ledger.deliveries_of(task.task_id)
        }


PICKY = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 4s, factor: 1, max: 4s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $destination, send: true}
rules:
  - {name: all, route: [pacs]}
"""
PROCESSING_FAILURE = 0x0110


def test_p8_an_object_the_station_stumbles_over_delays_no_other(router: RouterFactory) -> None:
    answers = [0, 0, 0, PROCESSING_FAILURE, 0]
    with ScriptedScp(Script(max_pdu_bytes=0, statuses=answers)) as pacs:
        edge = router(PICKY, destination=pacs.port)
        accepted = send(edge)
        wait_for(edge.data_dir, delivered=OBJECTS)
        order = [one.sop_instance_uid for one in pacs.stored]
    stumbled = order[3]
    assert order.count(stumbled) == 2
    assert len(order) == OBJECTS + 1
    late = [one.at - accepted[one.sop_instance_uid] for one in pacs.stored[:-1]]
    assert order[-1] == stumbled, "it came again behind the others"
    assert p99(late) < 1.0
    (task,) = tasks_of(edge)
    assert (task["failures"], task["delivered"], task["status"]) == (1, OBJECTS, "Completed")


def tasks_of(edge: Router) -> list[dict[str, object]]:
    found = edge.tasks()
    assert isinstance(found, dict)
    return list(found["tasks"])
