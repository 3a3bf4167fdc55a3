"""Shapes of what is told to others: the audit trail's receiver, and webhooks."""

from __future__ import annotations

from typing import Final

from router.config import shapes
from router.model.notices import WEBHOOK_EVENTS

AUDIT: Final = shapes.mapping(
    "The audit trail: where it is shipped to, and how long it is kept here.",
    {
        "syslog": shapes.mapping(
            "A syslog receiver over TLS (RFC 5425); what it has not read is sent again.",
            {
                "host": shapes.text(
                    "Its host name or address.", examples=["audit.hospital-a.example"]
                ),
                "port": shapes.whole("Its port.", 1, 65535, default=6514),
                "tls": shapes.text(
                    "Name of a profile under `tls:`; its ca is trusted, its cert shown if asked for.",
                    title="the name of a TLS profile",
                    examples=["hospital"],
                ),
            },
            ("host", "tls"),
        ),
        "keep": shapes.duration(
            "Longest time a message is kept here; with a receiver, never before it has read it.",
            default="2190d",
        ),
    },
)

WEBHOOK: Final = shapes.mapping(
    "Somebody who is told by HTTP POST what happens here; never anything of a patient.",
    {
        "url": shapes.url("Where to. http:// to this machine only."),
        "events": {
            "type": "array",
            "title": "a list of events",
            "description": "Which events; all when absent.",
            "minItems": 1,
            "uniqueItems": True,
            "items": shapes.choice("An event.", WEBHOOK_EVENTS),
        },
        "secret": shapes.secret("What each message is signed with (HMAC-SHA256)."),
        "tls": shapes.text(
            "Name of a profile under `tls:` whose ca is trusted; the system's when absent.",
            title="the name of a TLS profile",
            examples=["hospital"],
        ),
        "timeout": shapes.duration("Time one request may take.", default="10s"),
        "give_up": shapes.duration("Age at which a message is dropped, and told.", default="1d"),
    },
    ("url", "secret"),
)
