"""Giving: a held instance as it leaves when someone asks for it, by the same courier as deliveries.

What leaves is what the hooks make of it: those of receive that were pinned when it came, then those
of send of who gets it. What a hook fails on, or cannot be read, is not given (P4).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from router.clock import Clock
from router.errors import Refused
from router.flow.deliver import Courier
from router.flow.held import received_by
from router.model.delivery import Leased, Priority
from router.model.instance import Instance
from router.model.recipe import Recipe
from router.model.status import UNABLE_TO_PERFORM
from router.peers.peer import Parcel
from router.store.journal import Journal
from router.store.ledger import HeldVersion, Ledger
from router.store.records import RecordDamaged

Origin = tuple[str, str | None]


def origin(version: HeldVersion) -> Origin:
    """What decides the receive hook that was pinned to an instance."""
    return version.plan_digest, version.source_station


class Giving:
    """Recipes and parcels of held instances. Shared by threads."""

    def __init__(self, ledger: Ledger, journal: Journal, courier: Courier, clock: Clock) -> None:
        self._ledger = ledger
        self._journal = journal
        self._courier = courier
        self._clock = clock

    def recipes(self, versions: Iterable[HeldVersion], send: Recipe) -> dict[Origin, Recipe]:
        """By origin: the pinned receive hook, then `send`, the hook of who gets them.

        Raises Refused where no record of an origin can be read: what its hook did is not known.
        """
        found: dict[Origin, Recipe] = {}
        missing: set[Origin] = set()
        for one in versions:
            if origin(one) in found:
                continue
            held = self._ledger.instance(one.instance_id)
            try:
                if held is not None:
                    found[origin(one)] = received_by(self._journal, held).then(send)
                    continue
            except RecordDamaged:
                pass
            missing.add(origin(one))
        if not missing <= found.keys():
            raise Refused("an instance cannot be read", UNABLE_TO_PERFORM)
        self._ledger.remember_recipes(set(found.values()))
        return found

    def opened(
        self, version: HeldVersion, recipe: Recipe, to: str, records: ExitStack
    ) -> tuple[Instance, Parcel] | None:
        """The facts and the parcel; None when its bytes are gone. `records` closes what is opened."""
        held = self._ledger.instance(version.instance_id)
        if held is None or held.record is None:
            return None
        instance = held.instance
        leased = Leased(
            0,
            held.instance_id,
            to,
            recipe.digest,
            Priority.HIGH,
            0,
            self._clock.now(),
            held.record,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.study_instance_uid,
            instance.transfer_syntax_uid,
            instance.data_set_length,
        )
        return instance, records.enter_context(self._courier.parcels([leased]))[0]
