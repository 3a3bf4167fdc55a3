"""What commands, API and pages print of the cache: keys, prefetches, what is let go of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from router.clock import iso_time
from router.store.keys import Ring
from router.store.ledger import Ledger
from router.store.prefetches import Prefetch
from router.store.verifications import Damage, Verification
from router.store.verifying import Damaged


def keys_json(ring: Ring, progress: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keys by the beginning of their ids, the primary one first; never a key itself."""
    found = sorted(ring.keys.values(), key=lambda key: (key.key_id != ring.primary, -key.made_at))
    return {
        "keys": [
            {
                "key": key.name,
                "state": "primary" if key.key_id == ring.primary else "old",
                "made": iso_time(key.made_at) if key.made_at else None,
                "exported": iso_time(key.exported_at),
            }
            for key in found
        ],
        "rekeying": None if progress is None else {**progress, "at": iso_time(progress["at"])},
    }


def prefetch_json(prefetch: Prefetch) -> dict[str, Any]:
    """A prefetch with its items."""
    items = prefetch.items
    return {
        "prefetch": prefetch.prefetch_id,
        "status": prefetch.status,
        "requester": prefetch.requester,
        "batch": prefetch.batch,
        "created": iso_time(prefetch.created_at),
        "started": iso_time(prefetch.started_at),
        "ended": iso_time(prefetch.ended_at),
        "message": prefetch.message,
        "fetched": sum(one.brought.fetched for one in items),
        "held": sum(one.brought.held for one in items),
        "failed": sum(one.brought.failed for one in items),
        "items": [
            {
                "number": one.number,
                **asdict(one.wanted),
                "state": one.state,
                "fetched": one.brought.fetched,
                "held": one.brought.held,
                "failed": one.brought.failed,
                "message": one.brought.trouble,
            }
            for one in items
        ],
    }


def damaged_json(found: Damaged) -> dict[str, Any]:
    """A record that does not open: which, why, and whether something needs it."""
    held = found.held
    assert held.record is not None
    return {
        "instance": held.instance_id,
        "sop_instance_uid": held.instance.sop_instance_uid,
        "study_instance_uid": held.instance.study_instance_uid,
        "segment": held.record.segment,
        "offset": held.record.offset,
        "source": held.instance.source.station or held.instance.source.calling_ae_title,
        "disposition": held.disposition.value,
        "state": "owed" if found.is_owed else "kept",
        "reason": found.reason,
    }


def verification_json(found: Verification) -> dict[str, Any]:
    """A verification and how far it is."""
    done = found.done
    share = (
        min(1.0, done.records / found.total) if found.total else float(found.ended_at is not None)
    )
    return {
        "verification": found.verification_id,
        "status": found.status,
        "requester": found.requester,
        "study_instance_uid": found.study_instance_uid,
        "created": iso_time(found.created_at),
        "started": iso_time(found.started_at),
        "ended": iso_time(found.ended_at),
        "message": found.message,
        "total": found.total,
        "progress": round(share, 4),
        **done.counts(),
    }


def damage_json(one: Damage, ledger: Ledger) -> dict[str, Any]:
    """What a verification found, as it is now: one that was let go of since has no place any more."""
    held = ledger.instance(one.instance_id)
    if held is None or held.record is None:
        sop = "" if held is None else held.instance.sop_instance_uid
        study = "" if held is None else held.instance.study_instance_uid
        named = {"sop_instance_uid": sop, "study_instance_uid": study}
        state = "gone"
        return {"instance": one.instance_id, **named, "state": state, "reason": one.reason}
    return damaged_json(Damaged(held, one.reason, one.is_owed))
