"""Ten thousand objects wait for a station that is away: P15 (a quick start) and the order of what
goes out when it comes back (F24)."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from tests.support.load import renumbered, template
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $destination, send: true}
rules:
  - {name: scheduled, match: {Modality: CT}, route: [{to: pacs, priority: low}]}
  - {name: ordinary, match: {Modality: MR}, route: [{to: pacs, priority: medium}]}
  - {name: urgent, match: {Modality: CR}, route: [{to: pacs, priority: high}]}
"""
OBJECTS = 10_000
READY_SECONDS = 5.0
DRAIN_PER_SECOND = 100


def test_F24_p15_ten_thousand_wait_and_leave_in_order(router: Callable[..., Router]) -> None:
    port = free_port()
    edge = router(SITE, destination=port)
    kinds: dict[str, str] = {}
    for modality in ("CT", "MR", "CR"):
        item = template(21, modality=modality, rows=16, columns=16)
        contexts = [(item.sop_class_uid, [item.transfer_syntax_uid])]
        with Sender(edge.port, contexts) as sender:
            for _ in range(OBJECTS // 4 if modality != "CT" else OBJECTS // 2):
                uid, data_set = renumbered(item, len(kinds))
                assert 0 == sender.store(
                    item.sop_class_uid, uid, item.transfer_syntax_uid, data_set
                )
                kinds[uid] = modality
    assert len(kinds) == OBJECTS
    edge.stop()
    seconds = edge.start()
    assert seconds <= READY_SECONDS, f"{seconds:.1f} s to ready with {OBJECTS} waiting"
    assert edge.open_deliveries() == OBJECTS

    with ScriptedScp(Script(max_pdu_bytes=0), port=port) as destination:
        wait_until(lambda: destination.stored, 90, what="the station is noticed")
        began = time.monotonic()
        limit = OBJECTS / DRAIN_PER_SECOND
        wait_until(lambda: len(destination.stored) >= OBJECTS, limit, what="100 a second")
        assert time.monotonic() - began <= limit
        order = [kinds[stored.sop_instance_uid] for stored in destination.stored]
        edge.wait_until_drained()
    assert len(order) == OBJECTS, "no duplicates: nothing failed"
    middle = {
        kind: median(index for index, value in enumerate(order) if value == kind)
        for kind in ("CR", "MR", "CT")
    }
    assert middle["CR"] < middle["MR"] < middle["CT"], middle
    # One low in some goes early, so that none starves; four of five early ones are urgent.
    assert order[: OBJECTS // 5].count("CR") >= 0.8 * OBJECTS // 5
