"""Role `deliver`: dispatch, lanes, peers; and keeping the journal within its bounds."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from router.flow.bandwidth import Bandwidth
from router.flow.cataloguer import Cataloguer
from router.flow.deliver import Courier, RouterNames
from router.flow.dispatch import Dispatcher
from router.flow.heartbeat import Heartbeat
from router.flow.held import HeldHeaders
from router.flow.housekeeping import Housekeeping
from router.flow.priors import Archives, Priors
from router.flow.received import ReceiveHooks
from router.flow.retrieving import Retriever
from router.flow.statuses import Statuses
from router.model.station import Station
from router.peers.peer import Peer
from router.pixels.codecs import Codecs
from router.plugs import morphs_by_name
from router.serve.auditing import start_auditing
from router.serve.committing import Commitments
from router.serve.leases import Leases
from router.serve.mapping import key_or_nothing
from router.serve.peers import peer_maker
from router.serve.prefetching import start_prefetching
from router.serve.process import DRAIN_SECONDS, Role
from router.serve.rekeying import start_rekeying
from router.serve.retrieving import retrieved_from
from router.serve.stores import follow_ring, open_journal, open_ledger
from router.serve.verification import start_verifying
from router.serve.webhooks import start_webhooks
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.room import Room


def deliver(role: Role, bell: int) -> None:
    """Send what is owed until told to stop, then let batches under way finish."""
    # Each start of this role leases under a name of its own: what a predecessor that crashed had
    # leased is put back at once, and not only when the whole router starts again.
    lease_id = uuid.uuid4().hex
    ledger = open_ledger(role.places, role.clock, lease_id)
    leases = Leases(role.places.run, lease_id)

    def free_leases() -> None:
        leases.hold()
        ledger.release_foreign_leases(leases.living())
        if role.plan.revision:
            ledger.note_plan(role.plan.digest, role.plan.revision)

    if not role.when_there_is_room(free_leases):
        return
    journal = open_journal(role.places, role.plan, role.clock)
    codecs = Codecs()
    key = key_or_nothing(role.plan, role.log)
    make_peer = peer_maker(role.plan, role.clock, role.metrics)
    stations = tuple(role.plan.stations.values())
    statuses = Statuses(stations, ledger, role.clock, role.log, role.metrics)
    dispatcher = Dispatcher(
        role.plan,
        ledger,
        _courier(role, ledger, journal, key, codecs),
        make_peer,
        statuses,
        role.threads,
        role.clock,
        role.log,
        role.metrics,
    )
    heartbeat = Heartbeat(
        stations, make_peer, statuses, dispatcher.heard, role.threads, role.clock, role.log
    )

    commitments = Commitments(role)
    committer = commitments.committer(make_peer, statuses)

    def ring() -> None:
        dispatcher.ring()
        committer.ring()

    role.log.info("delivering", stations=sum(station.send for station in stations))
    role.threads.start("bell", partial(_listen, role, bell, ring))
    role.threads.start("housekeeping", _housekeeping(role, ledger, journal).run)
    retriever = Retriever(ledger, role.clock, make_peer, partial(retrieved_from, role.plan))
    priors = _readers(role, journal, Archives(retriever, statuses, key))
    looking = role.threads.start("priors", priors.run)
    beside = _beside(role, journal, make_peer, key)
    turning = role.threads.start("dispatch", dispatcher.run)
    role.threads.start("heartbeat", heartbeat.run)
    role.refresh.append(statuses.measure)
    role.threads.start("commitment", committer.run)
    role.refresh.append(lambda: leases.when_one_ended(ledger.release_foreign_leases))
    role.wait()
    priors.end()
    if role.notices.retiring:
        heartbeat.end()
        dispatcher.retire()
        committer.retire()
        role.finish(lambda: not (turning.is_alive() or committer.is_busy()))
    role.threads.stop.set()
    dispatcher.ring()
    turning.join(DRAIN_SECONDS)
    looking.join(DRAIN_SECONDS)
    for part in (commitments, beside, codecs, leases, journal, ledger):
        part.close()


def _listen(role: Role, bell: int, ring: Callable[[], None]) -> None:
    while not role.threads.stop.is_set():
        os.eventfd_read(bell)
        if role.notices.retiring:
            os.eventfd_write(bell, 1)  # it was meant for the successor
            return
        ring()


def _courier(role: Role, ledger: Ledger, journal: Journal, key: bytes, codecs: Codecs) -> Courier:
    settings = role.plan.router
    names = RouterNames(settings.name, settings.organization, key)
    return Courier(journal, ledger, morphs_by_name(), names, codecs, _bandwidths(role))


def _housekeeping(role: Role, ledger: Ledger, journal: Journal) -> Housekeeping:
    room = Room(role.places.data_dir, role.clock)
    stop = role.threads.stop
    return Housekeeping(role.plan.store, journal, ledger, room, role.clock, role.log, stop)


def _beside(
    role: Role, journal: Journal, make_peer: Callable[[Station], Peer], key: bytes
) -> ExitStack:
    """The audit trail, the webhooks, prefetching, rekeying and verifying, until closed."""
    follow_ring(role, journal.keys)
    beside = ExitStack()
    beside.callback(start_auditing(role))
    beside.callback(start_webhooks(role))
    beside.callback(start_rekeying(role, journal))
    beside.callback(start_prefetching(role, make_peer, key))
    beside.callback(start_verifying(role, journal))
    return beside


def _readers(role: Role, journal: Journal, archives: Archives) -> Priors:
    """What reads what is held: the catalogue, begun, and the look for priors, to be begun."""
    ledger = archives.retriever.ledger
    hooks = ReceiveHooks(morphs_by_name(), archives.mapping_key)
    headers = HeldHeaders(lambda: role.plan, journal, hooks)
    stop = role.threads.stop
    cataloguer = Cataloguer(ledger, headers, journal.keys, role.clock, role.log, stop)
    role.threads.start("catalogue", cataloguer.run)
    return Priors(role.plan, ledger, headers, archives, role.clock, role.log, role.metrics)


def _bandwidths(role: Role) -> dict[str, Bandwidth]:
    limited = {
        name: station.limits.bandwidth_bytes_per_second
        for name, station in role.plan.stations.items()
    }
    return {
        name: Bandwidth(rate, role.clock, role.threads.stop)
        for name, rate in limited.items()
        if rate is not None
    }
