"""The audit trail: what happened, who did it; the messages themselves only with the scope `phi`."""

from __future__ import annotations

from typing import Any, Final

from router.clock import iso_time
from router.model.audit import AuditRow
from router.store.records import RecordDamaged
from router.telemetry.audit_message import EVENTS
from router.web.api.call import (
    CURSOR,
    LIMIT,
    Call,
    Endpoint,
    Parameter,
    Wrong,
    many,
    maybe,
    record,
    text,
    whole,
)
from router.web.audited import looked
from router.web.services import Services


def list_audit(services: Services, call: Call) -> dict[str, Any]:
    """Rows of the trail, the latest first."""
    limit = call.query["limit"]
    rows = services.trail.page(
        limit + 1,
        _number(call.query.get("cursor")),
        event=call.query.get("event"),
        who=call.query.get("who"),
        what=call.query.get("what"),
    )
    head = services.trail.head()
    return {
        "entries": [told(one) for one in rows[:limit]],
        "next": str(rows[limit - 1].audit_id) if len(rows) > limit else None,
        "last": head.last_id,
        "shipped": head.shipped_id if services.plan.audit.syslog else None,
    }


def show_entry(services: Services, call: Call) -> dict[str, Any]:
    """One message as it was written (PS3.15 A.5.1)."""
    number = _number(call.path["id"])
    rows = services.trail.page(1, (number or 0) + 1)
    if not rows or rows[0].audit_id != number:
        raise Wrong(404, f"there is no audit message {call.path['id']}")
    who, address = call.identity.name, call.address
    looked(services.audit, services.plan, who, address, f"message {number}")
    try:
        message = services.trail.message(number)
    except RecordDamaged:
        raise Wrong(
            500, f"audit message {number} was changed: run dicom-router audit verify"
        ) from None
    return {"entry": told(rows[0]), "message": (message or b"").decode("utf-8")}


def told(row: AuditRow) -> dict[str, Any]:
    """One row for people and programs."""
    return {
        "id": row.audit_id,
        "at": iso_time(row.at),
        "event": row.event,
        "outcome": row.outcome,
        "who": row.who,
        "what": row.what,
        "digest": row.digest.hex(),
    }


def _number(text_: str | None) -> int | None:
    if not text_:
        return None
    if not (text_.isascii() and text_.isdigit() and len(text_) < 19):
        raise Wrong(400, f"{text_!r} is no number of an audit message")
    return int(text_)


_ENTRY: Final = record(
    {
        "id": whole("Its number; they follow each other without a gap."),
        "at": text("When."),
        "event": text("What happened."),
        "outcome": whole("0 success, 4, 8 or 12 failures of growing weight."),
        "who": text("Who did it: a token, a station, the router."),
        "what": text("What it was about: a Study Instance UID, a name."),
        "digest": text("SHA-256 over everything up to here."),
    }
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/audit", "read", "The audit trail, the latest first.", list_audit,
        record({"entries": many(_ENTRY), "next": maybe(text("Cursor of the next page.")),
                "last": whole("The number of the last message."),
                "shipped": maybe(whole("Up to where the receiver has read."))}),
        parameters=(
            Parameter("event", {"type": "string", "enum": sorted(EVENTS)}, "Only this event."),
            Parameter("who", {"type": "string"}, "Only of this person, station or program."),
            Parameter("what", {"type": "string"}, "Only about this, such as a study's UID."),
            LIMIT, CURSOR,
        ),
    ),
    Endpoint(
        "GET", "/audit/{id}", "phi", "One audit message.", show_entry,
        record({"entry": _ENTRY, "message": text("XML as PS3.15 A.5.1 has it.")}),
    ),
)  # fmt: skip
