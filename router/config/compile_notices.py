"""Meaning of sections `audit` and `webhooks`."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from router.config import shapes_notices, units
from router.config.context import Context
from router.config.nodes import Mapping, Node, PathPart, node_at
from router.config.references import check_tls_name, is_loopback, named
from router.model.notices import AuditSettings, SyslogReceiver, Webhook


def audit(document: Mapping, context: Context, tls: Collection[str]) -> AuditSettings:
    """Section `audit`."""
    node = document.get("audit")
    base = AuditSettings()
    if node is None:
        return base
    data = context.shapes.check(node, shapes_notices.AUDIT, ("audit",)).data
    written = data.get("syslog", {})
    receiver = None
    if "host" in written and "tls" in written:
        below = node_at(node, ("syslog",)) or node
        check_tls_name(written["tls"], tls, below, ("audit", "syslog"), context)
        receiver = SyslogReceiver(written["host"], written.get("port", 6514), written["tls"])
    keep = units.seconds(data["keep"]) if "keep" in data else base.keep_seconds
    return AuditSettings(receiver, keep)


def webhooks(document: Mapping, context: Context, tls: Collection[str]) -> dict[str, Webhook]:
    """Section `webhooks`, with every hook that could be read."""
    found: dict[str, Webhook] = {}
    for name, entry in named(document, "webhooks", context):
        path: tuple[PathPart, ...] = ("webhooks", name)
        node, place = entry.value, entry.key.place
        data = context.shapes.check(node, shapes_notices.WEBHOOK, path, place).data
        if "url" not in data or "secret" not in data:
            continue
        _check_url(data["url"], node, path, context)
        check_tls_name(data.get("tls"), tls, node, path, context)
        secret = node_at(node, ("secret",))
        base = Webhook(name, data["url"], context.secret(data["secret"], secret, (*path, "secret")))
        times = {
            f"{key}_seconds": units.seconds(data[key])
            for key in ("timeout", "give_up")
            if key in data
        }
        events = frozenset(data.get("events", ()))
        found[name] = Webhook(name, base.url, base.secret, events, data.get("tls"), **times)
    return found


def _check_url(url: str, node: Node, path: tuple[PathPart, ...], context: Context) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        wrong = node_at(node, ("url",)) or node
        message = "a webhook without TLS may only go to this machine"
        context.error("DR403", message, wrong, (*path, "url"), "write https://")
