"""The DICOMweb server of role `web`: an intake of its own, and the holdings it answers from.

Opened only where a listener serves it: what is stored goes into segments of this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from router.flow.fetching import Fetcher
from router.flow.fetching_again import FetchingAgain
from router.flow.refetching import Refetching
from router.serve.holdings import Holdings
from router.serve.intaking import open_receiving
from router.serve.process import Role
from router.web.app import Site
from router.web.dicomweb.routes import Routes, cache_routes, routes
from router.web.dicomweb.services import DicomwebServices

SERVICES = frozenset({"dicomweb", "cache"})


@dataclass(frozen=True)
class Dicomweb:
    """The routes of a listener by its name, and an end that indexes what was stored."""

    routes: Callable[[str], Routes]
    close: Callable[[], None]


def open_dicomweb(role: Role, site: Site, bell: int) -> Dicomweb | None:
    """Open it over the site's ledger and catalogue; None when told to stop while waiting for room."""
    receiving = open_receiving(role, partial(os.eventfd_write, bell, 1))
    if receiving is None:
        return None
    authenticate = site.gate.authenticate
    holdings = Holdings(role, receiving, site.services.ledger, site.services.catalogue)
    holdings.load()
    fetcher = Fetcher(lambda: role.plan, receiving.intake, role.clock)
    again = FetchingAgain(
        lambda: role.plan,
        site.services.make_peer,
        fetcher,
        site.services.cache,
        role.clock,
        role.log,
        role.metrics,
    )
    refetching = Refetching(
        lambda: role.plan,
        site.services.make_peer,
        fetcher,
        receiving.journal,
        holdings.ledger,
        site.services.cache,
        role.clock,
        role.log,
        role.metrics,
    )
    services = DicomwebServices(
        plan=lambda: role.plan,
        intake=receiving.intake,
        journal=receiving.journal,
        ledger=holdings.ledger,
        finder=holdings.finder,
        giving=holdings.giving,
        codecs=holdings.codecs,
        log=role.log,
        stop=role.threads.stop,
        audit=site.services.audit,
        refetching=refetching,
        again=again,
        metrics=role.metrics,
    )

    def of_listener(name: str) -> Routes:
        serve = role.plan.listeners[name].serve
        found = routes(services, authenticate, name) if "dicomweb" in serve else []
        return found + (cache_routes(services, authenticate) if "cache" in serve else [])

    return Dicomweb(of_listener, receiving.close)
