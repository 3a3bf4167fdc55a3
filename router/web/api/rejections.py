"""Rejecting what is held here: a study, a series or instances, with a note to whoever wants it."""

from __future__ import annotations

from typing import Final

from router.errors import BadDataset, Refused
from router.flow.reject import WORDS, Wanted
from router.store.records import RecordDamaged
from router.web.api.call import Body, Call, Endpoint, Reply, Wrong, many, record, text, whole
from router.web.services import Services


def reject(services: Services, call: Call) -> Reply:
    """Write and take in a rejection note; what it does is seen in tasks and studies."""
    body = call.body
    instances = body.get("instances", [])
    if not all(isinstance(one, str) for one in instances):
        raise Wrong(422, "instances: SOP Instance UIDs")
    wanted = Wanted(
        call.path["uid"], WORDS[body["as"]], body.get("series", ""), frozenset(instances)
    )
    try:
        done = services.reject(wanted, call.identity.name)
    except (Refused, BadDataset, RecordDamaged) as error:
        raise Wrong(409, str(error)) from None
    return Reply({"objects": done.objects, "notes": list(done.notes)}, status=202)


_REJECT: Final = record(
    {
        "as": text("The reason.", enum=list(WORDS)),
        "series": text("Only this one: Series Instance UID."),
        "instances": {**many(text("SOP Instance UID.")), "description": "Only these."},
    },
    optional=("series", "instances"),
)
ENDPOINTS: Final = (
    Endpoint(
        "POST", "/studies/{uid}/reject", "operate", "Reject a study, or a part of it, for good.",
        reject, record({"objects": whole("How many."), "notes": many(text("SOP Instance UID."))}),
        body=Body("What is rejected, and why.", schema=_REJECT), acts=True,
    ),
)  # fmt: skip
