"""`run`: from a plan to running roles. One order of work, for every start.

Lock the data directory, create what is missing, index what the journal holds beyond the ledger,
free the leases of earlier boots, bind every listener, fork the roles, say `ready`. What fails
before that is told and nothing is left running.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from router import __version__
from router.clock import Clock
from router.model.plan import Plan
from router.serve.auditing import note_activity
from router.serve.generations import Followed, Generations
from router.serve.listening import bind
from router.serve.places import Places
from router.serve.stores import open_journal, open_ledger
from router.serve.supervisor import Supervisor
from router.serve.webhooks import note_event
from router.store.device import note_start
from router.store.lock import DataLock
from router.store.recovery import recover
from router.store.room import Room
from router.telemetry.log import Log


def run(
    plan: Plan, log: Log, on_ready: Callable[[], None], followed: Followed | None = None
) -> int:
    """Run the router until it is told to stop; 0, or 1 when a role failed for good.

    With `followed` the folder is watched, and what changes in it takes effect. Raises CannotListen,
    StoreDown and StoreFull before anything runs.
    """
    places = Places(plan.router.data_dir)
    for folder in (places.data_dir, places.run):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    boot_id = uuid.uuid4().hex
    # A look gives the ballast up when the disk is full: even to write who holds the lock needs room.
    Room(places.data_dir, Clock()).shortage_bytes()
    lock = DataLock.acquire(places.data_dir, boot_id, __version__)
    status = 1
    try:
        for stale in places.run.iterdir():
            stale.unlink()
        _recover(plan, places, boot_id, log, unclean=lock.unclean)
        note_activity(plan, "start", log)
        note_event(plan, "router.started", {"version": __version__}, log)
        generations = Generations(plan, bind(plan), boot_id, log, followed)
        note_start(places.ledger, Clock().now())
        bodies = generations.bodies()
        log.info("starting", roles=" ".join(bodies), plan=plan.digest[:12], boot_id=boot_id)
        try:
            status = Supervisor(bodies, log, generations if followed else None).run(on_ready)
        finally:
            note_activity(plan, "stop", log)
            note_event(plan, "router.stopped", {}, log)
        return status
    finally:
        # A role that failed for good, or a ledger that was refused, is looked at by the next start.
        lock.release(in_order=status == 0)


def _recover(plan: Plan, places: Places, boot_id: str, log: Log, *, unclean: bool) -> None:
    """Before the fork, and closed again: no database connection may cross it."""
    clock = Clock()
    ledger = open_ledger(places, clock, boot_id, quick_check=unclean)
    try:
        journal = open_journal(places, plan, clock)
        found = recover(journal, ledger)
        journal.close()
        freed = ledger.release_foreign_leases()
        sends = [send for rule in plan.rules for send in rule.sends]
        ledger.remember_recipes(one.recipe for send in sends for one in send.alternatives)
        log.info(
            "recovered",
            records=found.records,
            damaged=found.damaged,
            torn_bytes=found.torn_bytes,
            leases_freed=freed,
        )
    finally:
        ledger.close()
