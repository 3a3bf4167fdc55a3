"""Rules: what they are, how often they matched, and what they would do with a file."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from router.dicom.part10 import read_part10
from router.errors import BadDataset
from router.flow.explain import Subject, explain
from router.flow.told import explanation_json
from router.model.instance import Source
from router.model.rule import Rule, Send
from router.plugs import morphs_by_name
from router.web.api.call import (
    DICOM,
    Body,
    Call,
    Endpoint,
    Parameter,
    Wrong,
    many,
    maybe,
    record,
    text,
)
from router.web.api.stations import known
from router.web.services import Services

FILE_BYTES: Final = 64 * 1024 * 1024


def list_rules(services: Services, _call: Call) -> dict[str, Any]:
    """The rules in their order, with what they matched since the router started."""
    counted = services.running.counters().get("dicom_router_rule_matches_total", {})
    matches = {dict(labels).get("rule", ""): int(value) for labels, value in counted.items()}
    return {"rules": [_told(rule, matches.get(rule.name, 0)) for rule in services.plan.rules]}


def _told(rule: Rule, matches: int) -> dict[str, Any]:
    place = rule.place
    refusal = rule.refuse
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "final": rule.final,
        "match": json.loads(rule.condition.spec),
        "route": [_send(one) for one in rule.sends],
        "discard": rule.discard,
        "refuse": refusal and {"status": f"0x{refusal.status:04X}", "comment": refusal.comment},
        "matches": matches,
        "written_in": f"{place.file}:{place.line}" if place else None,
    }


def _send(one: Send) -> dict[str, Any]:
    return {
        "station": one.station,
        "in_its_place": [other.station for other in one.others],
        "priority": one.priority.word,
        "when": one.silence.of if one.silence else "instance",
        "transfer_syntax": one.recipe.transfer_syntax_uid or None,
        "morph": [{name: parameters} for name, parameters in one.recipe.unpacked()],
    }


def try_rules(services: Services, call: Call) -> dict[str, Any]:
    """What the rules make of a file, and why. The file is not kept, nor written anywhere."""
    content: bytes = call.body
    plan, station = services.plan, call.query["from"]
    sender = known(services, call, station) if station else None
    first = next((one.name for one in plan.listeners.values() if one.kind == "dimse"), "")
    try:
        part10 = read_part10(content)
        offset = part10.data_set_offset
        subject = Subject(
            read=lambda at, length: content[offset + at : offset + at + length],
            length=len(content) - offset,
            transfer_syntax_uid=part10.transfer_syntax_uid,
            sop_class_uid=part10.sop_class_uid,
            source=Source(
                listener=first,
                calling_ae_title=sender.ae_title if sender else "",
                called_ae_title=plan.router.ae_title,
                address=sender.host if sender else "",
                station=sender.name if sender else None,
            ),
            received_at=time.time(),
        )
        told = explain(plan, subject, morphs_by_name(), services.mapping_key)
    except BadDataset as error:
        words = f"it would be refused with status 0x{error.status:04X}: {error}"
        raise Wrong(422, words) from None
    return explanation_json(told)


_RULE: Final = record({"name": text("Its name."), "matches": {"type": "integer"}},
                      open_ended=True)  # fmt: skip
_TOLD: Final = record(
    {
        "outcome": text("routed, unmatched, discarded, quarantined or refused."),
        "failure": maybe(text("Why no rule was asked.")),
        "rejects": maybe(record({}, open_ended=True)),
        "received": many(record({}, open_ended=True)),
        "rules": many(record({}, open_ended=True)),
        "deliveries": many(record({}, open_ended=True)),
    }
)
_FROM: Final = Parameter("from", {"type": "string"}, "As if this station had sent it.")
ENDPOINTS: Final = (
    Endpoint("GET", "/rules", "read", "The rules, in order.", list_rules,
             record({"rules": many(_RULE)})),
    Endpoint("POST", "/rules/try", "phi", "What the rules would do with a file, and why.",
             try_rules, _TOLD, parameters=(_FROM,),
             body=Body("A DICOM file.", DICOM, most_bytes=FILE_BYTES)),
)  # fmt: skip
