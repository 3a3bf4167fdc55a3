"""The order in which keys are written: what it is, where it is, what it may do, how.

Only keys of the language have an order. Names (stations, tables) stay where their author put them,
because the first of two equal ones counts, and so do rules, steps and conditions.
"""

from __future__ import annotations

from typing import Final

_SECTIONS: Final = (
    "version",
    "router",
    "listeners",
    "tls",
    "defaults",
    "organizations",
    "stations",
    "tables",
    "morphs",
    "rules",
    "cache",
    "audit",
    "webhooks",
    "deploy",
)
_ROUTER: Final = ("name", "id", "organization", "ae_title", "data_dir", "unmatched", "mapping_key")
_LISTENER: Final = ("type", "bind", "tls", "accept", "networks", "serve", "ae_titles", "limits")
_TLS: Final = ("cert", "key", "ca", "client_auth")
_STATION: Final = (
    "type",
    "description",
    "organization",
    "profile",
    "ae_title",
    "calling_ae_title",
    "host",
    "port",
    "url",
    "path",
    "allow_insecure_http",
    "tls",
    "active",
    "send",
    "query_retrieve",
    "move_destinations",
    "archive_server",
    "iocm",
    "cancel_unsent",
    "delete_rejected",
    "commit",
    "original_patient_id",
    "external",
    "transfer_syntax",
    "character_set",
    "issuer_of_patient_id",
    "auth",
    "heartbeat",
    "retry",
    "limits",
    "duplicates",
    "morph",
)
_ORGANIZATION: Final = ("description", "parent", "defaults")
_RULE: Final = (
    "name",
    "description",
    "enabled",
    "match",
    "morph",
    "route",
    "discard",
    "refuse",
    "final",
)
_AUDIT: Final = ("syslog", "keep")
_SYSLOG: Final = ("host", "port", "tls")
_WEBHOOK: Final = ("url", "events", "secret", "tls", "timeout", "give_up")
_DEPLOY: Final = (
    "repository",
    "branch",
    "path",
    "every",
    "timeout",
    "require_signature",
    "allowed_signers",
    "tls",
    "auth",
)
_ROUTE: Final = ("to", "first_of", "when", "idle", "priority", "transfer_syntax", "morph")
# By path; a number or a name is *.
_ORDERS: Final = {
    (): _SECTIONS,
    ("router",): _ROUTER,
    ("listeners", "*"): _LISTENER,
    ("tls", "*"): _TLS,
    ("organizations", "*"): _ORGANIZATION,
    ("organizations", "*", "defaults", "station"): _STATION,
    ("stations", "*"): _STATION,
    ("rules", "*"): _RULE,
    ("rules", "*", "route", "*"): _ROUTE,
    ("audit",): _AUDIT,
    ("audit", "syslog"): _SYSLOG,
    ("webhooks", "*"): _WEBHOOK,
    ("deploy",): _DEPLOY,
}


def order_of(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The order of the keys of the mapping at this path; None where it is the author's."""
    return _ORDERS.get(path)


def rank(key: str, order: tuple[str, ...]) -> int:
    """Where a key stands; unknown ones come last."""
    return order.index(key) if key in order else len(order)
