"""The envelope: the facts of an instance and the decision about it, as compact JSON.

It lies sealed behind the data set in the same record, so that the ledger can be rebuilt from the
journal alone; recipes are therefore whole, not only their digests. `decode` takes bytes that passed
the seal of the record; anything else raises RecordDamaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from router.model.delivery import Disposition, Priority
from router.model.instance import Instance, Source
from router.model.recipe import NOTHING, Recipe
from router.model.rejection import Rejection
from router.model.rule import Decision, Option, Owed, Silence
from router.model.station import USUAL_DUPLICATES, Duplicates
from router.store.records import RecordDamaged

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record says about its data set."""

    instance: Instance
    decision: Decision
    plan_digest: str


def encode(instance: Instance, decision: Decision, plan_digest: str) -> bytes:
    """The envelope of these, as UTF-8 JSON without blanks."""
    source = instance.source
    recipes = {owed.recipe.digest: owed.recipe.steps for owed in decision.owed}
    value = {
        "v": VERSION,
        "plan": plan_digest,
        "instance": [
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.study_instance_uid,
            instance.series_instance_uid,
            instance.transfer_syntax_uid,
            instance.modality,
            instance.patient_id,
            instance.issuer_of_patient_id,
            instance.accession_number,
            instance.data_set_length,
            instance.header_length,
            instance.content_digest.hex(),
            instance.received_at,
            instance.assumed_character_set,
        ],
        "source": [
            source.listener,
            source.calling_ae_title,
            source.called_ae_title,
            source.address,
            source.station,
            source.tls_subject,
        ],
        "disposition": decision.disposition.value,
        "rules": decision.rules,
        "recipes": recipes,
        "owed": [
            (owed.station, owed.recipe.digest, int(owed.priority), owed.rule, *_waits(owed))
            for owed in decision.owed
        ],
    }
    others = []
    for place, owed in enumerate(decision.owed):
        for one in owed.others:
            recipes[one.recipe.digest] = one.recipe.steps
            others.append((place, one.station, one.recipe.digest))
    if others:
        value["others"] = others
    receive = decision.receive
    if receive is not NOTHING and not receive.is_empty:
        recipes[receive.digest] = receive.steps
        value["receive"] = receive.digest
    if decision.duplicates != USUAL_DUPLICATES:
        twice = decision.duplicates
        value["duplicates"] = [twice.same_content, twice.other_content]
    if (note := decision.rejection) is not None:
        value["rejection"] = [note.code, note.references, note.stations, note.cancel_unsent]
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def decode(octets: bytes) -> Envelope:
    """The envelope of these bytes. Raises RecordDamaged."""
    with _unreadable():
        value = _opened(octets)
        return Envelope(_instance(value), _decision(value), value["plan"])


def decode_instance(octets: bytes) -> Instance:
    """Only the facts of the instance in these bytes. Raises RecordDamaged."""
    with _unreadable():
        return _instance(_opened(octets))


def _waits(owed: Owed) -> tuple[str | float, ...]:
    return (owed.silence.of, owed.silence.idle_seconds) if owed.silence else ()


def _opened(octets: bytes) -> Any:
    value = json.loads(octets.decode("utf-8", "surrogatepass"))
    if value["v"] != VERSION:
        raise RecordDamaged(f"the envelope is of version {value['v']!r}, this is {VERSION}")
    return value


@contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordDamaged(f"the envelope cannot be read: {type(error).__name__}") from None


def _instance(value: Any) -> Instance:
    facts = [*value["instance"]]
    facts[11] = bytes.fromhex(facts[11])
    facts.insert(13, Source(*value["source"]))
    return Instance(*facts)


def _decision(value: Any) -> Decision:
    recipes = {digest: Recipe(steps, digest) for digest, steps in value["recipes"].items()}
    others: dict[int, list[Option]] = {}
    for place, station, digest in value.get("others", ()):
        others.setdefault(place, []).append(Option(station, recipes[digest]))
    return Decision(
        Disposition(value["disposition"]),
        tuple(
            Owed(
                station,
                recipes[digest],
                Priority(priority),
                rule,
                Silence(*waits) if waits else None,
                tuple(others.get(place, ())),
            )
            for place, (station, digest, priority, rule, *waits) in enumerate(value["owed"])
        ),
        tuple(value["rules"]),
        receive=recipes[value["receive"]] if "receive" in value else NOTHING,
        duplicates=Duplicates(*value["duplicates"]) if "duplicates" in value else USUAL_DUPLICATES,
        rejection=_rejection(value["rejection"]) if "rejection" in value else None,
    )


def _rejection(value: Any) -> Rejection:
    code, *lists = value
    return Rejection(code, *map(tuple, lists))
