"""Verification of all that is held: asked for here, done by the router beside its work, followed here."""

from __future__ import annotations

from typing import Any, Final

from router.flow.cache_told import damage_json, verification_json
from router.store.verifications import Damage, Verification
from router.web.api.call import Body, Call, Endpoint, Reply, Wrong, many, maybe, record, text, whole
from router.web.services import Services


def want(services: Services, call: Call) -> Reply:
    """Have everything, or a study, read to its end; answered at once."""
    study = call.body.get("study")
    made = services.cache.want_verification(call.identity.name, study)
    return Reply(verification_json(made), status=202)


def list_verifications(services: Services, _call: Call) -> dict[str, Any]:
    """The last ones, the latest first."""
    return {"verifications": [verification_json(one) for one in services.cache.verifications()]}


def show(services: Services, call: Call) -> dict[str, Any]:
    """One, and what does not open."""
    found, damages = _known(services, call)
    named = [damage_json(one, services.ledger) for one in damages]
    return {**verification_json(found), "records_that_do_not_open": named}


def cancel(services: Services, call: Call) -> dict[str, Any]:
    """Read no more of it."""
    found, _ = _known(services, call)
    words = f"cancelled by {call.identity.name}"
    if not services.cache.end_verification(found.verification_id, words):
        raise Wrong(409, f"verification {found.verification_id} is over: it is {found.status}")
    return show(services, call)


def _known(services: Services, call: Call) -> tuple[Verification, tuple[Damage, ...]]:
    number = call.path["id"]
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    found = services.cache.find_verification(int(number)) if is_number else None
    if found is None:
        raise Wrong(404, f"there is no verification {number}")
    return found


_STATE: Final = {
    "verification": whole("Its number."),
    "status": text("How it is; Failed where something does not open."),
    "requester": text("Who asked."),
    "study_instance_uid": maybe(text("Only this study; null for everything.")),
    "created": text("When it was asked for."),
    "started": maybe(text("When it began.")),
    "ended": maybe(text("When it was over.")),
    "message": text("Why it ended early."),
    "total": whole("Records there were when it began."),
    "progress": {"type": "number", "description": "From 0 to 1."},
    "records": whole("How many were read."),
    "data_set_bytes": whole("Of what size."),
    "damaged": whole("How many do not open."),
}
_ONE: Final = record(_STATE)
_FOUND: Final = record({**_STATE, "records_that_do_not_open": many(record({}, open_ended=True))})
_WISH: Final = record({"study": text("Only this study: its UID.")}, optional=("study",))
ENDPOINTS: Final = (
    Endpoint("POST", "/cache/verifications", "operate", "Read everything that is held.", want, _ONE,
             body=Body("Everything, or a study.", schema=_WISH), acts=True),
    Endpoint("GET", "/cache/verifications", "read", "The last verifications.", list_verifications,
             record({"verifications": many(_ONE)})),
    Endpoint("GET", "/cache/verifications/{id}", "read", "One, and what does not open.", show,
             _FOUND),
    Endpoint("POST", "/cache/verifications/{id}/cancel", "operate", "Read no more of it.", cancel,
             _FOUND, acts=True),
)  # fmt: skip
