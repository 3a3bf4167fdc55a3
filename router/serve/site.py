"""What the pages and the API of role `web` stand on: opened once, shared by every listener."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from router.config.releases import Releases
from router.flow.letting_go import LettingGo
from router.flow.retrieving import Retriever
from router.model.delivery import Disposition, Result
from router.serve.auditing import open_audit_log
from router.serve.deployer import mailbox
from router.serve.deployment import deployment
from router.serve.device import device_json
from router.serve.intaking import reject_beside
from router.serve.mapping import key_or_nothing
from router.serve.peers import peer_maker
from router.serve.process import Role
from router.serve.rekeying import progress
from router.serve.reload_state import ReloadState, answer_of, read_state
from router.serve.retrieving import retrieved_from
from router.serve.stores import follow_ring, open_journal, open_ledger
from router.store.access import AccessBook
from router.store.audit import AuditTrail
from router.store.cache_book import CacheBook
from router.store.catalogue import Catalogue
from router.store.device import first_start
from router.store.ledger import Ledger
from router.telemetry.metrics import counted, published_ages
from router.web import audited
from router.web.api.events import Events
from router.web.app import Site
from router.web.gate import Gate, SessionEvent
from router.web.rates import Rates
from router.web.retrievals import Retrievals
from router.web.services import Running, Services

APPLY_SECONDS: Final = 30.0
_COUNTED: Final = {
    "received": (
        "dicom_router_instances_received_total",
        {("outcome", one.value) for one in Disposition},
    ),
    "sent": ("dicom_router_send_attempts_total", {("result", Result.DELIVERED.value)}),
}


def open_site(
    role: Role, folder: Path, reasons: Callable[[Ledger], tuple[str, ...]]
) -> tuple[Site, Callable[[], tuple[str, ...]]]:
    """Open ledger, journal and book; the site, and its answer to the question of readiness."""
    ledger = open_ledger(role.places, role.clock, f"web-{role.boot_id}")
    journal = open_journal(role.places, role.plan, role.clock)
    follow_ring(role, journal.keys)
    book = AccessBook.open(role.places.ledger, role.clock)
    cache = CacheBook.open(role.places.ledger, role.clock)
    trail = AuditTrail.open(role.places.ledger, role.places.keys)
    audit = open_audit_log(role, trail)
    rates = Rates(lambda: _totals(role), role.clock, role.places.run)
    events = Events(ledger, role.clock, role.plan)

    def not_ready() -> tuple[str, ...]:
        return reasons(ledger)

    key = key_or_nothing(role.plan, role.log)
    make_peer = peer_maker(role.plan, role.clock, role.metrics)
    retrieve = partial(retrieved_from, role.plan)
    retriever = Retriever(ledger, role.clock, make_peer, retrieve)
    services = Services(
        plan=role.plan,
        folder=folder.absolute(),
        clock=role.clock,
        ledger=ledger,
        catalogue=Catalogue(ledger, journal.keys),
        journal=journal,
        book=book,
        mapping_key=key,
        make_peer=make_peer,
        running=_running(role, folder, not_ready),
        rates=rates,
        reject=lambda wanted, who: reject_beside(role.plan, wanted, who, key),
        retrievals=Retrievals(retriever, role.threads.start),
        started_at=role.clock.now(),
        device=device_json(role.plan, first_start(role.places.ledger)),
        audit=audit,
        trail=trail,
        cache=cache,
        letting_go=LettingGo(cache, journal, ledger, role.clock),
    )
    role.threads.start("rates", lambda: rates.run(role.threads.stop))
    role.threads.start("events", lambda: events.run(role.threads.stop))

    def refused(reason: str, address: str) -> None:
        role.metrics.web_refused.add(reason)
        role.log.warning("request refused", reason=reason, address=address)
        audited.refused(audit, role.plan, reason, address)

    def session(event: SessionEvent, who: str, address: str) -> None:
        audited.session(audit, role.plan, event, who, address)

    return Site(services, Gate(book, role.clock, refused, session), events), not_ready


def _running(role: Role, folder: Path, not_ready: Callable[[], tuple[str, ...]]) -> Running:
    def free_bytes() -> tuple[int, int]:
        usage = shutil.disk_usage(role.places.data_dir)
        return usage.free, usage.total

    releases, mail = Releases(folder), mailbox(role.places)

    def deploy(wish: Mapping[str, str]) -> Mapping[str, Any] | None:
        return mail.answer_to(mail.ask(wish), APPLY_SECONDS)

    return Running(
        not_ready=not_ready,
        roles=lambda: published_ages(role.places.run),
        reload=lambda: _told(read_state(role.places)),
        apply=lambda: _told(answer_of(role.places, APPLY_SECONDS)),
        deployment=lambda: deployment(releases, role.plan),
        deploy=deploy,
        counters=lambda: counted(role.places.run),
        free_bytes=free_bytes,
        rekeying=lambda: progress(role.places),
    )


def _told(state: ReloadState | None) -> Mapping[str, Any] | None:
    return None if state is None else asdict(state)


def _totals(role: Role) -> Mapping[str, float]:
    series = counted(role.places.run)
    return {
        name: sum(
            value
            for labels, value in series.get(counter, {}).items()
            if not wanted.isdisjoint(labels)
        )
        for name, (counter, wanted) in _COUNTED.items()
    }
