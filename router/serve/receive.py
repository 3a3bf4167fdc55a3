"""Role `receive`: DIMSE listeners, intake, the journal, and the index behind it."""

from __future__ import annotations

import os
import socket
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

from router.dimse.handlers import Calling, Handlers, Rejection, StoreAnswer, StoreRequest
from router.dimse.server import Server
from router.dimse.tls import server_context
from router.errors import StoreDown
from router.flow.admission import admit, why_refused
from router.flow.audited import Audited, refused_association, refused_tls
from router.flow.auditing import AuditLog
from router.flow.intake import Arrival, Intake
from router.model.instance import Source
from router.serve.auditing import open_audit_log
from router.serve.committing import Commitments
from router.serve.holdings import Holdings
from router.serve.intaking import open_receiving
from router.serve.process import DRAIN_SECONDS, Role, accepting_mark
from router.serve.queries import query_services
from router.serve.stores import open_ledger
from router.store.catalogue import Catalogue


def _store(intake: Intake, request: StoreRequest, chunks: Iterator[memoryview]) -> StoreAnswer:
    arrival = Arrival(
        request.source,
        request.sop_class_uid,
        request.sop_instance_uid,
        request.transfer_syntax_uid,
    )
    answer = intake.take(arrival, chunks)
    return StoreAnswer(answer.status, answer.comment, answer.offending_tags)


def receive(role: Role, sockets: Mapping[str, socket.socket], bell: int) -> None:
    """Serve every DIMSE listener until told to stop, then drain."""
    ring = partial(os.eventfd_write, bell, 1)
    receiving = open_receiving(role, ring)
    if receiving is None:
        return
    journal, indexer = receiving.journal, receiving.indexer

    def observe(event: str, /, **facts: object) -> None:
        role.log.info(event, **facts)
        if event == "tls_refused":
            refused_tls(audit, role.plan, **{name: str(fact) for name, fact in facts.items()})

    ledger = open_ledger(role.places, role.clock, role.boot_id)
    catalogue = Catalogue(ledger, journal.keys)
    holdings = Holdings(role, receiving, ledger, catalogue)
    audit = open_audit_log(role)
    services = query_services(role, receiving, holdings, ring)
    audited = Audited(services.operate, services.studies, audit, role.plan)
    commitments = Commitments(role)
    handlers = Handlers(
        partial(_authorise, role, audit),
        partial(_store, receiving.intake),
        audited.operate,
        commitments.provider(ring).commit,
    )
    servers = {
        name: Server(
            role.plan.listeners[name],
            listening,
            handlers,
            role.threads,
            role.clock,
            tls_context=_tls_context(role, name),
            observe=observe,
        )
        for name, listening in sockets.items()
    }

    told: Counter[tuple[str, str]] = Counter()

    def refresh() -> None:
        if journal.broken:
            # Nothing can be accepted any more: the supervisor starts this role anew, or gives up.
            raise StoreDown("stable storage failed twice")
        for name, server in servers.items():
            counts = server.counts()
            role.metrics.associations_open.labels(name).set(counts.open)
            for reason, total in counts.refused.items():
                new = total - told[name, reason]
                role.metrics.connections_refused.add(name, reason, amount=new)
                told[name, reason] = total
        role.metrics.index_queue.set(indexer.waiting())

    role.refresh.append(refresh)
    for server in servers.values():
        server.start()
    mark = accepting_mark(role)
    with suppress(OSError):  # on a full disk only the outcome of a reload is told later
        mark.touch()
    role.wait()
    if role.notices.retiring:
        # Associations keep the plan they began with; its successor accepts on the same sockets.
        for server in servers.values():
            server.retire()
        mark.unlink(missing_ok=True)
        role.finish(lambda: not any(server.is_busy() for server in servers.values()))
    for server in servers.values():
        server.drain(DRAIN_SECONDS if role.notices.stopping else 0.0)
        server.close()
    catalogue.close()
    commitments.close()
    audit.close()
    ledger.close()
    receiving.close()


def _authorise(role: Role, audit: AuditLog, calling: Calling) -> Source | Rejection:
    source = admit(role.plan, calling)
    refused = isinstance(source, Rejection)
    role.metrics.associations.add(calling.listener, "refused" if refused else "accepted")
    if isinstance(source, Rejection):
        reason = why_refused(role.plan, calling, source)
        role.log.warning(
            "association refused",
            listener=calling.listener,
            calling_ae_title=calling.calling_ae_title,
            called_ae_title=calling.called_ae_title,
            address=calling.address,
            reason=reason,
        )
        refused_association(audit, role.plan, calling, reason)
    return source


def _tls_context(role: Role, listener: str) -> ssl.SSLContext | None:
    name = role.plan.listeners[listener].tls
    return server_context(role.plan.tls[name]) if name else None
