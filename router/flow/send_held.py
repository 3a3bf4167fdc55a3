"""Send held: owe a study that is held here to one station, because a person asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.flow.hand_in import Errand
from router.flow.held import received_by
from router.model.recipe import Recipe
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.records import RecordDamaged

ANONYMIZED: Final = Recipe.of([("deidentify", {"profile": "basic"})])
"""What `anonymize` adds, last, so that nothing after it brings an identity back."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How many instances were queued, in which tasks; (SOP Instance UID, reason) of what was not."""

    queued: int
    tasks: tuple[int, ...]
    failed: tuple[tuple[str, str], ...]


def send_held(
    study_instance_uid: str, errand: Errand, journal: Journal, ledger: Ledger, clock: Clock
) -> Sent:
    """Queue a study; each instance changed first as its own station's hook said when it came.

    Raises KeyError when nothing of the study is held.
    """
    held = ledger.instances_of_study(study_instance_uid)
    if not held:
        raise KeyError(f"no instance of study {study_instance_uid} is held here")
    by_recipe: dict[Recipe, list[int]] = {}
    failed: list[tuple[str, str]] = []
    for stored in held:
        try:
            recipe = received_by(journal, stored)
        except RecordDamaged as error:
            failed.append((stored.instance.sop_instance_uid, str(error)))
        else:
            by_recipe.setdefault(recipe, []).append(stored.instance_id)
    tasks = tuple(
        ledger.send(instance_ids, errand.owed(recipe), clock.now())
        for recipe, instance_ids in by_recipe.items()
    )
    return Sent(len(held) - len(failed), tasks, tuple(failed))
