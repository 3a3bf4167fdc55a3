"""Webhooks of role `deliver`: a thread for each hook, and one that notes what only time brings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

from router.clock import Clock
from router.dicomweb.client import HttpSession
from router.dimse.certificates import read_certificate
from router.dimse.tls import client_context
from router.errors import Rejected, StoreDown, StoreFull
from router.flow.webhooks import JsonBody, WebhookSender
from router.model.notices import Webhook
from router.model.plan import Plan
from router.model.station import TlsProfile
from router.serve.places import Places
from router.serve.process import Role
from router.serve.secrets import read_secret
from router.store.webhooks import HookBook
from router.telemetry.log import Log

QUIET_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 2.0
PRUNE_SECONDS: Final = 3600.0
EXPIRY_DAYS: Final = (30, 14, 3)
END_SECONDS: Final = 3.0
_MOST_ANSWER_BYTES: Final = 64 * 1024


def start_webhooks(role: Role) -> Callable[[], None]:
    """The threads; what is given back waits for their end.

    A role that retires leaves them to its successor.
    """
    book = HookBook.open(role.places.ledger)
    hooks = role.plan.webhooks.values()
    role.when_there_is_room(lambda: book.register(role.plan.webhooks))
    keeper = role.threads.start("webhooks", _Keeper(role, book).run)
    threads = [keeper, *(_start(role, book, hook) for hook in hooks)]

    def end() -> None:
        for thread in threads:
            thread.join(END_SECONDS)
        book.close()

    return end


def note_event(plan: Plan, event: str, data: Mapping[str, Any], log: Log) -> None:
    """Note an event; opened and closed at once, for no connection may cross a fork."""
    if not plan.webhooks:
        return
    try:
        with closing(HookBook.open(Places(plan.router.data_dir).ledger)) as book:
            book.register(plan.webhooks)
            book.note(event, data, Clock().now())
    except (StoreDown, StoreFull) as error:
        log.warning("an event for webhooks is lost", message=event, reason=str(error))


def session_of(role: Role, hook: Webhook) -> HttpSession:
    """A session for one message. Raises Rejected when its TLS files cannot be used."""
    profile = role.plan.tls[hook.tls] if hook.tls else TlsProfile(hook.name, None, None, None)
    is_plain = hook.url.startswith("http://")  # the compiler lets only loopback be so
    try:
        context = client_context(profile)
    except ValueError as error:
        raise Rejected(str(error)) from None
    return HttpSession(context, role.clock, allow_http=is_plain, max_connections=1)


def _start(role: Role, book: HookBook, hook: Webhook) -> threading.Thread:
    def post(headers: Mapping[str, str], body: bytes) -> int:
        # Made anew for each message: a renewed certificate is taken without a restart.
        with closing(session_of(role, hook)) as session:
            answer = session.exchange(
                "POST", hook.url, headers, JsonBody(body),
                seconds=hook.timeout_seconds, max_bytes=_MOST_ANSWER_BYTES,
            )  # fmt: skip
        return answer.status

    sender = WebhookSender(
        hook,
        book,
        post,
        lambda: read_secret(hook.secret, role.plan.folder),
        role.plan.router.name,
        role.clock,
        role.log,
        role.metrics,
        role.threads.stop,
        role.has_successor,
    )
    return role.threads.start(f"webhook-{hook.name}", sender.run)


class _Keeper:
    """Notes ended tasks and certificates that end soon; keeps the events within their bounds."""

    def __init__(self, role: Role, book: HookBook) -> None:
        self._role = role
        self._book = book
        self._prune_at = float("-inf")

    def run(self) -> None:
        role = self._role
        while not role.clock.wait(role.threads.stop, LOOK_SECONDS) and not role.has_successor():
            try:
                self._book.note_tasks(role.clock.now(), QUIET_SECONDS)
                if role.clock.monotonic() >= self._prune_at:
                    self._prune_at = role.clock.monotonic() + PRUNE_SECONDS
                    self._hourly()
            except (StoreDown, StoreFull) as error:
                role.log.error("webhooks cannot be kept", reason=str(error))  # noqa: TRY400 - the reason is all there is

    def _hourly(self) -> None:
        role, now = self._role, self._role.clock.now()
        for profile in role.plan.tls.values():
            note_certificate(self._book, profile, now, role.log)
        wanted = {hook.name: hook.events for hook in role.plan.webhooks.values()}
        for name, number in self._book.prune(now, wanted).items():
            role.metrics.webhook_messages.add(name, "dropped", amount=number)
            role.log.error("webhook messages are dropped", webhook=name, messages=number)


def note_certificate(book: HookBook, profile: TlsProfile, now: float, log: Log) -> None:
    """Tell that a certificate of ours ends soon: once at 30, 14 and 3 days before."""
    if profile.cert is None:
        return
    try:
        certificate = read_certificate(profile.cert)
    except ValueError as error:
        log.warning("a certificate cannot be read", profile=profile.name, reason=str(error))
        return
    days = (certificate.not_after - now) / 86_400.0
    passed = [limit for limit in EXPIRY_DAYS if days <= limit]
    if not passed:
        return
    data = {
        "profile": profile.name,
        "not_after": certificate.not_after,
        "days_left": max(0, int(days)),
    }
    matter = f"certificate {certificate.fingerprint} {passed[-1]}"
    if book.note_once(matter, "certificate.expiring", data, now):
        log.warning("a certificate ends soon", profile=profile.name, days_left=data["days_left"])
