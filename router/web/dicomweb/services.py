"""What the DICOMweb resources are given: the same parts that answer by DIMSE."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.requests import Request

from router.flow.auditing import AuditLog
from router.flow.fetching_again import FetchingAgain
from router.flow.finding import Finder
from router.flow.giving import Giving
from router.flow.intake import Intake
from router.flow.refetching import Refetching
from router.model.instance import Source
from router.model.plan import Plan
from router.model.recipe import NOTHING, Recipe
from router.model.station import Station
from router.pixels.codecs import Codecs
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics
from router.web.access import Identity
from router.web.reach import reach_of, reaches, studies_in_reach

PREFIX = "/dicomweb/v1"


@dataclass(frozen=True)
class DicomwebServices:
    """Parts of one process; `listener` is the name of the listener that is asked."""

    plan: Callable[[], Plan]
    intake: Intake
    journal: Journal
    ledger: Ledger
    finder: Finder
    giving: Giving
    codecs: Codecs
    log: Log
    stop: threading.Event
    audit: AuditLog
    refetching: Refetching
    again: FetchingAgain
    metrics: Metrics

    def counted(self, hits: int) -> None:
        """Count a read: what is held of what was asked for, or that nothing is."""
        if hits:
            self.metrics.cache_requests.add("hit", amount=hits)
        else:
            self.metrics.cache_requests.add("miss")

    def not_given(self, sop_instance_uid: str, reason: Exception) -> None:
        """Tell the log of an instance that somebody asked for in vain."""
        self.log.warning(
            "an instance was not given", sop_instance_uid=sop_instance_uid, reason=str(reason)
        )


def client_of(request: Request) -> tuple[str, str]:
    """Who asks, and from which address."""
    return request.state.identity.name, request.client.host if request.client else ""


def in_reach(
    request: Request, services: DicomwebServices, studies: Collection[str]
) -> frozenset[str]:
    """Those of these studies that who asks may see."""
    stations = reach_of(services.plan(), request.state.identity)
    return studies_in_reach(services.ledger, stations, studies)


def speaks_for(request: Request, services: DicomwebServices) -> Station | None:
    """A token that is named as a station speaks for it, where that is within its reach."""
    identity: Identity = request.state.identity
    plan = services.plan()
    if not reaches(reach_of(plan, identity), identity.name):
        return None
    return plan.stations.get(identity.name)


def source_of(request: Request, services: DicomwebServices, listener: str) -> Source:
    """Who stores: a token, or the station that it speaks for."""
    station = speaks_for(request, services)
    address = request.client.host if request.client else ""
    return Source(
        listener=listener,
        calling_ae_title=station.ae_title if station else "",
        called_ae_title="",
        address=address,
        station=station.name if station else None,
    )


def send_hook(request: Request, services: DicomwebServices) -> Recipe:
    """What is done to what leaves for whoever asks: the send hook of the station it speaks for."""
    station = speaks_for(request, services)
    return station.hooks.send if station else NOTHING


def address_of(request: Request) -> str:
    """The address of the service as the client wrote it."""
    return f"{request.url.scheme}://{request.url.netloc}{PREFIX}"


def accept_of(request: Request) -> str | None:
    """What the client takes: by the parameter of that name where it cannot set a header (PS3.18 8.3.3)."""
    return request.query_params.get("accept") or request.headers.get("accept")
