"""What pages and API stand on, handed in by whoever starts the web role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.clock import Clock
from router.flow.auditing import AuditLog
from router.flow.letting_go import LettingGo
from router.flow.reject import Rejected, Wanted
from router.model.plan import Plan
from router.model.station import Station
from router.peers.peer import Peer
from router.store.access import AccessBook
from router.store.audit import AuditTrail
from router.store.cache_book import CacheBook
from router.store.catalogue import Catalogue
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.web.rates import Rates
from router.web.retrievals import Retrievals

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Running:
    """What the running router says of itself.

    `reload` is the outcome of the last change of the configuration, None when there was none;
    `rekeying` is how far the wrapping anew after a rotation is, None when there was none;
    `apply` has the folder taken into use and waits for the outcome, `deploy` has something deployed,
    rolled back or fetched; `deployment` is how that stands, None where the folder is no release;
    `counters` are the counted series of all processes: value by labels by name; `free_bytes` also
    tells the size of the volume.
    """

    not_ready: Callable[[], tuple[str, ...]]
    roles: Callable[[], Mapping[str, float]]
    reload: Callable[[], Mapping[str, Any] | None]
    apply: Callable[[], Mapping[str, Any] | None]
    deployment: Callable[[], Mapping[str, Any] | None]
    deploy: Callable[[Mapping[str, str]], Mapping[str, Any] | None]
    counters: Callable[[], Mapping[str, Mapping[Labels, float]]]
    free_bytes: Callable[[], tuple[int, int]]
    rekeying: Callable[[], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by the threads that answer. `make_peer` gives a station's working side, to be closed.

    `device` is what this installation is to whoever looks after many of them.
    `reject` rejects for whoever is named; it raises what `flow.reject` raises.
    `folder` is the configuration's as it was given: behind a link it is a release.
    """

    plan: Plan
    folder: Path
    clock: Clock
    ledger: Ledger
    catalogue: Catalogue
    journal: Journal
    book: AccessBook
    mapping_key: bytes
    make_peer: Callable[[Station], Peer]
    running: Running
    rates: Rates
    retrievals: Retrievals
    reject: Callable[[Wanted, str], Rejected]
    started_at: float
    device: Mapping[str, Any]
    audit: AuditLog
    trail: AuditTrail
    cache: CacheBook
    letting_go: LettingGo
