"""Studies held here: UIDs, counts and times; patients only with the scope `phi`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from router.clock import iso_time
from router.dicom.identifier import element_of
from router.dicom.keys import name_of, parse_keys
from router.dicom.matching import matches
from router.dicom.tags import PathError
from router.dicom.uid_names import uid_name
from router.flow.patients import SERIES, told
from router.model.catalogue import MODALITY, Attributes
from router.model.instance import Source
from router.model.query import Identifier
from router.store.catalogue import LATEST, PAGE
from router.web.api.call import (
    CURSOR,
    LIMIT,
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
from router.web.audited import queried
from router.web.reach import Stations, reach_of, reaches, sees_study, studies_in_reach
from router.web.services import Services

_FILTERS: Final = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_description": "StudyDescription",
}
_INSTANCES: Final = 5000
_DEFAULT: Final = 100
_MOST: Final = 500
_SEARCH_SECONDS: Final = 3.0


def list_studies(services: Services, call: Call) -> dict[str, Any]:
    """Studies, the latest first."""
    return _listed(services, call, {}, call.query)


def search(services: Services, call: Call) -> dict[str, Any]:
    """The same, of patients. Values match as C-FIND keys do, with wildcards and ranges.

    A body and no parameters: addresses are kept in histories and logs.
    """
    wanted = {name: call.body[name] for name in _FILTERS if call.body.get(name)}
    try:
        keys = parse_keys(f"{_FILTERS[name]}={value}" for name, value in wanted.items())
    except PathError as error:
        raise Wrong(422, str(error)) from None
    limit = call.body.get("limit", _DEFAULT)
    if not 1 <= limit <= _MOST:
        raise Wrong(422, f"limit is a number from 1 to {_MOST}")
    options = {
        "limit": limit,
        "cursor": call.body.get("cursor"),
        "modality": call.body.get("modality"),
    }
    return _listed(services, call, keys, options)


def _listed(
    services: Services, call: Call, keys: Identifier, options: Mapping[str, Any]
) -> dict[str, Any]:
    cursor, limit, modality = options["cursor"], options["limit"], options["modality"]
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Wrong(400, "cursor is not one of ours")
    if call.sees_patients:
        told_of = " ".join(f"{name_of(tag)}={one.text}" for tag, one in sorted(keys.items()))
        queried(services.audit, services.plan, call.identity.name, call.address, told_of)
    services.catalogue.follow()
    stations = reach_of(services.plan, call.identity)
    found: list[tuple[int, str, Attributes, tuple[str, ...]]] = []
    before = int(cursor) if cursor else LATEST
    until = services.clock.monotonic() + _SEARCH_SECONDS
    following: str | None = None
    while len(found) <= limit:
        page = services.catalogue.page(keys, before)
        fitting = [
            one for one in page if _fits(keys, one[2]) and (not modality or modality in one[3])
        ]
        seen = studies_in_reach(services.ledger, stations, [one[1] for one in fitting])
        found += [one for one in fitting if one[1] in seen]
        if len(page) < PAGE:
            break
        before = page[-1][0]
        if services.clock.monotonic() > until:  # what was found so far, and where to go on
            following = str(before)
            break
    if len(found) > limit:
        following = str(found[limit - 1][0])
    return {"studies": _told(services, call, found[:limit]), "next": following}


def _fits(keys: Identifier, attributes: Attributes) -> bool:
    found = {tag: element_of(tag, attributes[tag]) for tag in keys if tag in attributes}
    return matches(keys, found)


def _told(
    services: Services, call: Call, found: list[tuple[int, str, Attributes, tuple[str, ...]]]
) -> list[dict[str, Any]]:
    stations = reach_of(services.plan, call.identity)
    uids = [study for _, study, _, _ in found]
    held = {one.study_instance_uid: one for one in services.ledger.held_studies(uids)}
    listed: list[dict[str, Any]] = []
    for _, study, attributes, modalities in found:
        one = held.get(study)
        if one is None:  # evicted since it was listed
            continue
        listed.append(
            {
                "study_instance_uid": study,
                "modalities": list(modalities),
                "series": one.series,
                "instances": one.instances,
                "bytes": one.data_set_bytes,
                "received": iso_time(one.received_at),
                "sources": [name for name in one.sources if reaches(stations, name)],
                **({"patient": told(attributes)} if call.sees_patients else {}),
            }
        )
    return listed


def show_study(services: Services, call: Call) -> dict[str, Any]:
    """One study with its series."""
    uid = _seen(services, call)
    services.catalogue.follow()
    attributes = services.catalogue.study(uid)
    counts: defaultdict[str, int] = defaultdict(int)
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for one in services.ledger.held_counts([uid]):
        counts[one.series_instance_uid] += one.instances
        classes[one.series_instance_uid].add(uid_name(one.sop_class_uid))
    if attributes is None or not counts:
        raise Wrong(404, f"no instance of study {uid} is held here")
    described = dict(services.catalogue.series(uid))
    if call.sees_patients:
        services.audit.accessed(call.identity.name, call.address, uid)
    told_of = _told(services, call, [(0, uid, attributes, ())])
    if not told_of:  # it was let go of in this very moment
        raise Wrong(404, f"no instance of study {uid} is held here")
    (study,) = told_of
    study["modalities"] = sorted(
        {texts[MODALITY] for texts in described.values() if texts.get(MODALITY)}
    )
    series = [
        {
            "series_instance_uid": name,
            "modality": described.get(name, {}).get(MODALITY, ""),
            "sop_classes": sorted(classes[name]),
            "instances": number,
            **(told(described.get(name, {}), SERIES) if call.sees_patients else {}),
        }
        for name, number in sorted(counts.items())
    ]
    return {"study": study, "series": series}


def list_instances(services: Services, call: Call) -> dict[str, Any]:
    """The instances of a study: UIDs, sizes, where they came from, what was decided."""
    uid = _seen(services, call)
    held = services.ledger.instances_of_study(uid)
    if not held:
        raise Wrong(404, f"no instance of study {uid} is held here")
    stations = reach_of(services.plan, call.identity)
    return {
        "instances": [
            {
                "sop_instance_uid": one.instance.sop_instance_uid,
                "series_instance_uid": one.instance.series_instance_uid,
                "sop_class_uid": one.instance.sop_class_uid,
                "transfer_syntax_uid": one.instance.transfer_syntax_uid,
                "bytes": one.instance.data_set_length,
                "received": iso_time(one.instance.received_at),
                "source": _source(stations, one.instance.source),
                "disposition": one.disposition.value,
                "rules": list(one.rules) if stations is None else [],
            }
            for one in held[:_INSTANCES]
        ],
        "beyond": max(0, len(held) - _INSTANCES),
    }


def _seen(services: Services, call: Call) -> str:
    """The study of the path, where all of it is within reach. Raises Wrong 404."""
    uid = call.path["uid"]
    if not sees_study(services.ledger, reach_of(services.plan, call.identity), uid):
        raise Wrong(404, f"no instance of study {uid} is held here")
    return uid


def _source(stations: Stations, source: Source) -> str:
    if not reaches(stations, source.station):
        return ""
    return source.station or source.calling_ae_title


STUDY_SCHEMA: Final = record(
    {"study_instance_uid": text("Its UID."), "modalities": many(text("One of them."))},
    open_ended=True,
)
_MODALITY: Final = Parameter("modality", {"type": "string"}, "Only studies with this modality.")
_SEARCH: Final = record(
    {
        **{name: text(f"Matches {keyword}.") for name, keyword in _FILTERS.items()},
        "modality": text("Only studies with this modality."),
        "limit": {"type": "integer", "description": f"Most of a page; {_DEFAULT}."},
        "cursor": text("`next` of the page before; a page may be short where little matches."),
    },
    optional=(*_FILTERS, "modality", "limit", "cursor"),
)
_LISTED: Final = record(
    {"studies": many(STUDY_SCHEMA), "next": maybe(text("Cursor of the next page."))}
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/studies", "read", "Studies held here, the latest first.", list_studies, _LISTED,
        parameters=(_MODALITY, LIMIT, CURSOR), within=True,
    ),
    Endpoint(
        "POST", "/studies/search", "phi", "Studies of patients.", search, _LISTED,
        body=Body("What to match.", schema=_SEARCH), within=True,
    ),
    Endpoint(
        "GET", "/studies/{uid}", "read", "One study and its series.", show_study,
        record({"study": STUDY_SCHEMA, "series": many(record({}, open_ended=True))}), within=True,
    ),
    Endpoint(
        "GET", "/studies/{uid}/instances", "read", "The instances of a study.", list_instances,
        record({"instances": many(record({}, open_ended=True)), "beyond": {"type": "integer"}}),
        within=True,
    ),
)  # fmt: skip
