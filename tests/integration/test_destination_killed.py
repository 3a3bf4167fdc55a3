"""A destination that is killed three times while 1,000 objects travel gets every one of them.

Each arrives at least once; duplicates are at most what was in flight at a kill (P2, P6); the
account balances; nobody touched the router.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.load import renumbered, template
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.sender import Sender
from tests.support.storescp import StoreScp

pytestmark = pytest.mark.peers
OBJECTS = 1000
IN_FLIGHT = 2


def test_p6_a_destination_killed_three_times_gets_each_object(
    router: Callable[..., Router], storescp: Callable[..., StoreScp]
) -> None:
    destination = storescp()
    edge = router(destination=destination.port)
    item = template(11, modality="MR", rows=128, columns=128)
    sent: set[str] = set()

    def scanner() -> None:
        contexts = [(item.sop_class_uid, [item.transfer_syntax_uid])]
        with Sender(edge.port, contexts) as sender:
            for number in range(OBJECTS):
                uid, data_set = renumbered(item, number)
                status = sender.store(item.sop_class_uid, uid, item.transfer_syntax_uid, data_set)
                if status == 0:
                    sent.add(uid)

    thread = threading.Thread(target=scanner)
    thread.start()
    for threshold in (100, 300, 600):
        wait_until(lambda at=threshold: destination.count() >= at, 60, what=f"{threshold} objects")
        destination.kill()
        time.sleep(0.5)
        destination.start()
    thread.join(60)
    assert len(sent) == OBJECTS
    edge.wait_until_drained(90)

    arrivals = Counter(destination.received_uids())
    assert set(arrivals) == sent
    assert sum(arrivals.values()) - OBJECTS <= 3 * IN_FLIGHT
    assert edge.deliveries()["delivered"] == OBJECTS
    assert edge.deliveries()["dead"] == 0
    edge.assert_balanced()
