"""Webhooks: who is named in the configuration is told by signed HTTP what happens here.

One thread for each hook, so that one that hangs holds up no other: events in order, tried again with
growing pauses until `give_up`. Signed as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and
body. At least once: a receiver knows a repeated message by its id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from router.clock import Clock, iso_time
from router.errors import DeliveryError
from router.flow.turns import take_turns, unless_in_trouble
from router.model.notices import Webhook
from router.store.webhooks import HookBook, HookEvent
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 1.0
FIRST_WAIT_SECONDS: Final = 1.0
MOST_WAIT_SECONDS: Final = 900.0
_PREFIX: Final = "whsec_"
_TIMES: Final = frozenset({"created_at", "ended_at", "not_after"})


class Post(Protocol):
    """Sends one message and gives the status of the answer; raises a DeliveryError without one."""

    def __call__(self, headers: Mapping[str, str], body: bytes) -> int:
        """The status."""
        ...


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A request body of bytes that are there."""

    content: bytes

    @property
    def length(self) -> int:
        """Bytes in all."""
        return len(self.content)

    def chunks(self) -> Iterator[bytes]:
        """The bytes."""
        yield self.content


class WebhookSender:
    """`run` is the thread of one hook."""

    def __init__(
        self,
        hook: Webhook,
        book: HookBook,
        post: Post,
        read_secret: Callable[[], str],
        router_name: str,
        clock: Clock,
        log: Log,
        metrics: Metrics,
        stop: threading.Event,
        has_successor: Callable[[], bool],
    ) -> None:
        self._hook = hook
        self._book = book
        self._post = post
        self._read_secret = read_secret
        self._router_name = router_name
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._stop = stop
        self._has_successor = has_successor

    def run(self) -> None:
        """Tell until told to stop, or until another does it."""
        turn = unless_in_trouble(
            lambda: 0.0 if self.tell() else LOOK_SECONDS,
            self._log,
            "a webhook cannot be served",
            LOOK_SECONDS * 5,
        )
        take_turns(turn, self._clock, self._stop, self._has_successor)

    def tell(self) -> bool:
        """Try the next event, where it is due; whether the hook is past it now."""
        name, now = self._hook.name, self._clock.now()
        event = self._book.next(name, self._hook.events)
        # A time far ahead was written before the clock was set back.
        if event is None or now < event.due_at <= now + MOST_WAIT_SECONDS:
            return False
        if now - event.at > self._hook.give_up_seconds and event.attempts:
            self._metrics.webhook_messages.add(name, "dropped")
            self._log.error("a webhook message is dropped", webhook=name, message=event.event)
            self._book.done(name, event.event_id)
            return True
        reason = self._tried(event)
        if not reason:
            self._metrics.webhook_messages.add(name, "delivered")
            self._book.done(name, event.event_id)
            return True
        self._metrics.webhook_messages.add(name, "failed")
        if not event.attempts:
            self._log.warning("a webhook does not answer", webhook=name, reason=reason)
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(event.attempts, 20), MOST_WAIT_SECONDS)
        self._book.failed(name, event.event_id, now + self._clock.jitter(wait * 0.5, wait))
        return False

    def _tried(self, event: HookEvent) -> str:
        """Why it did not arrive; '' when it did."""
        body = message_of(event, self._router_name)
        try:
            headers = signed(event, body, self._read_secret(), self._clock.now())
            status = self._post(headers, body)
        except DeliveryError as error:
            return str(error)
        return "" if 200 <= status < 300 else f"answered {status}"


def message_of(event: HookEvent, router_name: str) -> bytes:
    """The body: what happened, when, and where."""
    data = {key: iso_time(value) if key in _TIMES else value for key, value in event.data.items()}
    told = {
        "type": event.event,
        "timestamp": iso_time(event.at),
        "data": {"router": router_name, **data},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def signed(event: HookEvent, body: bytes, secret: str, now: float) -> dict[str, str]:
    """The headers of a message; its id is the same each time it is tried."""
    identity = f"evt_{event.event_id}_{int(event.at * 1000)}"
    stamp = str(int(now))
    told = f"{identity}.{stamp}.".encode() + body
    signature = hmac.new(key_of(secret), told, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def key_of(secret: str) -> bytes:
    """The key: base64 behind `whsec_`, as receivers' libraries make it; else the text's own bytes."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
