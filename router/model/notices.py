"""Who is told what happens here: the receiver of the audit trail, and webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.model.station import Secret

WEBHOOK_EVENTS: Final = (
    "station.online",
    "station.offline",
    "station.unknown",
    "task.completed",
    "task.failed",
    "configuration.applied",
    "configuration.refused",
    "deployment.refused",
    "deployment.unreachable",
    "certificate.expiring",
    "router.started",
    "router.stopped",
)


@dataclass(frozen=True, slots=True)
class SyslogReceiver:
    """A syslog receiver over TLS; `tls` names the profile to connect with."""

    host: str
    port: int
    tls: str


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the audit trail goes, and how long its messages are kept."""

    syslog: SyslogReceiver | None = None
    keep_seconds: float = 2190 * 86400.0


NO_RECEIVER: Final = AuditSettings()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody who is told by HTTP. `events` is empty for all; `tls` is None for the system's."""

    name: str
    url: str
    secret: Secret
    events: frozenset[str] = frozenset()
    tls: str | None = None
    timeout_seconds: float = 10.0
    give_up_seconds: float = 86400.0
