"""Listener: where we accept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from router.model.problem import Place

ListenerKind = Literal["dimse", "http", "https"]


@dataclass(frozen=True, slots=True)
class AssociationLimits:
    """Bounds of a DIMSE listener (reliability 3.2). Seconds and bytes."""

    associations: int = 256
    associations_per_address: int = 32
    associations_per_ae_title: int = 16
    pending_connections: int = 512
    tls_handshake_seconds: float = 5.0
    first_pdu_seconds: float = 10.0
    pdu_seconds: float = 30.0
    minimum_bytes_per_second: int = 4096
    idle_seconds: float = 60.0
    life_seconds: float = 14400.0
    max_pdu_bytes: int = 262144


@dataclass(frozen=True, slots=True)
class Listener:
    """One address we listen on; `ae_titles` are those we answer to.

    `networks`: where calls in clear may come from, but for stations whose host is named.

    Pages of `origins` may read what is answered here over HTTP.
    """

    name: str
    kind: ListenerKind
    host: str
    port: int
    ae_titles: tuple[str, ...] = ()
    accept: Literal["known_stations", "any"] = "known_stations"
    networks: Literal["private", "any"] = "private"
    tls: str | None = None
    serve: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: AssociationLimits = AssociationLimits()
    place: Place | None = field(default=None, compare=False)
