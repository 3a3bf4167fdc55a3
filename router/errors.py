"""Every error of the product, and the four questions each one answers.

    RouterError
    ├── ConfigError        the written configuration is wrong                      operator
    ├── ProtocolError      the peer broke PS3.7, PS3.8 or HTTP                     association ends
    ├── Refused            we decline: unknown AE title, not allowed               peer is told
    ├── BadDataset         the bytes are not what they claim                       instance
    ├── StoreFull          the watermark is reached                                system, transient
    ├── StoreDown          journal or ledger cannot be written                     system, transient
    ├── DeliveryError      something about one delivery or its station
    │   ├── Unreachable    connect, TLS, time-out, reset                           station, back off
    │   ├── Rejected       the station refuses us: AE title, 401, 403, 404         station, hold and alarm
    │   ├── Busy           0xA7xx, RJ transient, 429, 503                          station, slow down
    │   └── Undeliverable  the station refuses this object for good                dead
    └── MorphFailed        a recipe cannot be applied; the original is never sent  quarantined

Retry or not, when, whose fault, what the peer may hear: `retry`, `retry_after_seconds`, `scope`,
`dimse_status` and `http_status`. `str(error)` is for people and never holds patient data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

Scope = Literal["instance", "delivery", "station", "association", "system", "configuration"]


class RouterError(Exception):
    """Base of all; unknown failures count as temporary, so `retry` is true unless a class says no."""

    retry: ClassVar[bool] = True
    scope: ClassVar[Scope] = "system"
    dimse_status: ClassVar[int] = 0x0110
    http_status: ClassVar[int] = 500


class ConfigError(RouterError):
    """The written configuration is wrong; `problems` holds every one of them."""

    retry = False
    scope = "configuration"
    http_status = 422

    def __init__(self, problems: Sequence[object]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{len(self.problems)} problems in the configuration")


class ProtocolError(RouterError):
    """The peer broke the protocol. `abort_reason` is the A-ABORT reason (PS3.8 9.3.8)."""

    retry = False
    scope = "association"
    http_status = 400

    def __init__(self, message: str, abort_reason: int = 0) -> None:
        super().__init__(message)
        self.abort_reason = abort_reason


class Refused(RouterError):
    """We decline a request; `status` is the DIMSE status the peer hears (PS3.7 annex C)."""

    retry = False
    scope = "association"
    dimse_status = 0x0124
    http_status = 403

    def __init__(self, message: str, status: int = 0x0124) -> None:
        super().__init__(message)
        self.status = status


class BadDataset(RouterError):
    """The bytes are not what they claim; `status` is 0xC000, or 0xA900 for contradicting UIDs."""

    retry = False
    scope = "instance"
    dimse_status = 0xC000
    http_status = 400

    def __init__(
        self, message: str, status: int = 0xC000, offending_tags: Sequence[int] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.offending_tags = tuple(offending_tags)


class StoreFull(RouterError):
    """No room above the watermark: the peer may send again later."""

    dimse_status = 0xA700
    http_status = 503


class StoreDown(RouterError):
    """Journal or ledger cannot be written; nothing is acknowledged."""

    dimse_status = 0xA700
    http_status = 503


class DeliveryError(RouterError):
    """One delivery, or its station, failed. `status` is the peer's own DIMSE or HTTP number."""

    scope: ClassVar[Scope] = "delivery"

    def __init__(
        self, message: str, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Unreachable(DeliveryError):
    """No connection, TLS failure, time-out or reset; burns no attempt of any instance."""

    scope: ClassVar[Scope] = "station"


class Rejected(DeliveryError):
    """The station refuses us as a caller: someone must change a configuration."""

    scope: ClassVar[Scope] = "station"


class Busy(DeliveryError):
    """The station asks for patience."""

    scope: ClassVar[Scope] = "station"


class Undeliverable(DeliveryError):
    """The station refuses this object for good."""

    retry = False


class MorphFailed(RouterError):
    """A recipe cannot be applied to this object. The unmorphed object is never sent."""

    retry = False
    scope = "delivery"
