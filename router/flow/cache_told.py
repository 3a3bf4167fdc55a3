"""What commands, API and pages print of the cache: keys, prefetches, what is let go of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from router.clock import iso_time
from router.store.keys import Ring
from router.store.prefetches import Prefetch
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
