"""One hook's sender: in order, growing pauses, given up when old, and the signature of the standard."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from router.errors import Unreachable
from router.flow.webhooks import MOST_WAIT_SECONDS, WebhookSender, key_of, signed
from router.model.notices import Webhook
from router.model.station import Secret
from router.store.webhooks import HookBook, HookEvent
from router.telemetry.metrics import Metrics
from tests.support.store_making import TestClock


class Steady(TestClock):
    def jitter(self, low, high):
        return high


class Hook:
    def __init__(self, folder):
        self.clock = Steady()
        self.book = HookBook.open(folder / "ledger.db")
        self.book.register(["ops"])
        self.answers, self.posted = [], []
        self.metrics = Metrics()
        hook = Webhook("ops", "https://x/", Secret("env", "X"), give_up_seconds=3600.0)
        quiet = SimpleNamespace(error=lambda *_, **__: None, warning=lambda *_, **__: None)
        self.sender = WebhookSender(
            hook, self.book, self.post, lambda: "secret", "edge", self.clock, quiet, self.metrics,
            threading.Event(), lambda: False,
        )  # fmt: skip

    def post(self, headers, body):
        self.posted.append((headers["webhook-id"], body))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    def counted(self, result):
        line = f'dicom_router_webhook_messages_total{{result="{result}",webhook="ops"}} '
        found = [one for one in self.metrics.text().decode().splitlines() if one.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.fixture
def hook(tmp_path):
    made = Hook(tmp_path)
    yield made
    made.book.close()


def test_a_failure_holds_the_next_back_and_pauses_grow_to_their_bound(hook):
    hook.book.note("task.failed", {"task": 1}, hook.clock.now())
    hook.book.note("task.failed", {"task": 2}, hook.clock.now())
    hook.answers = [500, Unreachable("nobody is there"), 301, 429]
    waits = []
    while hook.answers:
        assert not hook.sender.tell()
        waits.append(hook.book.next("ops", ()).due_at - hook.clock.now())
        assert not hook.sender.tell(), "it is not due yet"
        hook.clock.time += waits[-1]
    assert waits == [1, 2, 4, 8]
    assert hook.sender.tell() and hook.sender.tell() and not hook.sender.tell()
    ids = [identity for identity, _ in hook.posted]
    assert len(ids) == 6 and len(set(ids[:5])) == 1 and ids[5] != ids[0]
    assert (hook.counted("failed"), hook.counted("delivered")) == (4, 2)
    for _ in range(30):
        hook.book.note("task.failed", {}, hook.clock.now())
    hook.answers = [500] * 12
    for _ in range(12):
        hook.sender.tell()
        hook.clock.time = hook.book.next("ops", ()).due_at
    assert hook.clock.now() < 1_000_000.0 + 12 * MOST_WAIT_SECONDS


def test_a_message_is_dropped_when_it_is_old_but_never_untried(hook):
    hook.book.note("task.failed", {}, hook.clock.now() - 7200)
    hook.answers = [500]
    assert not hook.sender.tell(), "tried once, however old"
    hook.clock.time += 2
    assert hook.sender.tell() and hook.counted("dropped") == 1
    assert hook.book.next("ops", ()) is None


def test_a_clock_that_was_set_back_holds_nothing_up(hook):
    hook.book.note("task.failed", {}, hook.clock.now())
    hook.answers = [500]
    hook.sender.tell()
    hook.clock.time -= 10 * 86_400
    assert hook.sender.tell()


def test_the_signature_is_the_one_of_the_standard():
    """The example of Standard Webhooks 1.0 as its libraries have it."""
    event = HookEvent(7, 1.5, "x", {}, 0, 0.0)
    headers = signed(
        event, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1614265330.9
    )
    assert headers["webhook-id"] == "evt_7_1500" and headers["webhook-timestamp"] == "1614265330"
    assert key_of("whsec_MfKQ") == bytes.fromhex("31f290") and key_of("whsec_!") == b"whsec_!"
