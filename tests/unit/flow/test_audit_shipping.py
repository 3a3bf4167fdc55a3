"""Shipping the trail: in order, nothing passed over while the receiver fails, growing pauses."""

from __future__ import annotations

import sqlite3
import threading
from types import SimpleNamespace

import pytest

from router.flow.audit_shipping import BATCH, LOOK_SECONDS, MOST_WAIT_SECONDS, AuditShipping
from router.store.audit import AuditEntry, AuditTrail
from router.telemetry.metrics import Metrics
from tests.support.store_making import TestClock


class Steady(TestClock):
    def jitter(self, low, high):
        return high


@pytest.fixture
def trail(tmp_path):
    made = AuditTrail.open(tmp_path / "ledger.db", tmp_path / "keys")
    yield made
    made.close()


def shipping(trail, ship):
    told = []
    log = SimpleNamespace(error=lambda *a, **_: told.append(a), info=lambda *a, **_: told.append(a))
    made = AuditShipping(trail, ship, Steady(), log, Metrics(), threading.Event(), lambda: False)
    return made, told


def test_everything_comes_in_order_however_often_the_receiver_fails(trail):
    number = BATCH + 30
    trail.append([AuditEntry(1.0, "sent", 0, "a", "b", b"%d" % n) for n in range(1, number + 1)])
    received, fails = [], [OSError("away"), TimeoutError("slow"), ValueError("the profile"), None]

    def ship(records):
        failure = fails.pop(0) if fails else None
        if failure is not None:
            raise failure
        received.extend((one.number, one.text) for one in records)

    made, told = shipping(trail, ship)
    assert [made.turn() for _ in range(3)] == [1.0, 2.0, 4.0]
    assert trail.head().shipped_id == 0 and received == []
    assert made.turn() == 0.0, "there is more"
    assert made.turn() == LOOK_SECONDS and made.turn() == LOOK_SECONDS
    assert received == [(n, b"%d" % n) for n in range(1, number + 1)]
    assert trail.head().shipped_id == number
    assert len(told) == 2, "once that it fails, once that it is well again"


def test_pauses_have_a_bound(trail):
    trail.append([AuditEntry(1.0, "sent", 0, "a", "b", b"x")])

    def ship(_records):
        raise OSError("away")

    made, _ = shipping(trail, ship)
    assert max(made.turn() for _ in range(40)) == MOST_WAIT_SECONDS


def test_a_message_changed_on_disk_holds_up_none_behind_it_and_is_told(trail, tmp_path):
    trail.append([AuditEntry(1.0, "sent", 0, "a", "b", b"%d" % n) for n in range(1, 5)])
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(
            "UPDATE audit SET sealed = substr(sealed, 1, iif(audit_id = 1, 20, length(sealed) - 1))"
            " WHERE audit_id IN (1, 3)"
        )
    connection.close()
    received = []
    made, told = shipping(trail, received.extend)
    assert made.turn() == LOOK_SECONDS
    assert [one.number for one in received] == [2, 4], "the receiver sees the gap"
    assert trail.head().shipped_id == 4 and trail.prune(2.0, is_shipped=True) == 3
    assert len(told) == 1 and "run: audit verify" in told[0][0]


def test_each_trouble_is_told_and_counted(trail):
    trail.append([AuditEntry(1.0, "sent", 0, "a", "b", b"x")])
    fails = [OSError("away")]

    def ship(_records):
        if fails:
            raise fails.pop()

    made, told = shipping(trail, ship)
    made.turn()
    trail.shipped(1)  # another process was first
    made.turn()
    trail.append([AuditEntry(1.0, "sent", 0, "a", "b", b"x")])
    fails += [OSError("away again")] * 3
    for _ in range(3):
        made.turn()
    assert len(told) == 3, "the second trouble is not taken for the first"
    assert b'audit_shipped_total{result="failed"} 4.0' in made._metrics.text()
