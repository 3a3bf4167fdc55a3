"""Step `deidentify`: PS3.15 annex E, the Basic Profile with its options, and an independent check.

Every element at every depth is judged by table E.1-1. What the table does not name stays when it is
a standard attribute; dates, UIDs, private and unknown elements do not. Kept sequences are entered.
UIDs follow the keyed mapping of `remap_uids`. The object says what was done to it (PS3.3 C.7.1.1).
Objects with a name burned in, or of kinds that often have one, fail unless `burned_in: allow` says
that somebody looked. When all steps of the recipe have run, the encoded header is searched for what
it must not hold (router.dicom.remaining_identifiers), and the object fails rather than leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import all_vrs_for, parse_path
from router.dicom.walk import REMOVE, Change, Verdict
from router.errors import MorphFailed
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.burned_in import refuse_burned_in
from router.morph.confidentiality import table
from router.morph.context import MorphContext
from router.morph.dates import moved_value, patient_of
from router.morph.deidentified import OPTIONS, mark, safe_private
from router.morph.dummies import cleaned, dummy
from router.morph.keyed import CLASS_TAGS, mapped_days, mapped_value
from router.morph.parameters import Step, as_list, known_keys, named, text_of

UP_TO_DAYS: Final = 365
_IMPOSSIBLE: Final = ("clean_pixel_data", "clean_recognizable_visual_features")
_KEYS: Final = ("profile", "options", "burned_in")
_WHEN: Final = frozenset({"DA", "DT", "TM"})
_UNKNOWN: Final = ("UN",)
_GRAPHIC_GROUPS: Final = frozenset({0x50, 0x60})
_TEXT_VALUE: Final = 0x0040A160


@dataclass(frozen=True, slots=True)
class _Wanted:
    options: frozenset[str]
    burned_in: str
    columns: tuple[str, ...]  # of the table, for the options that have one, in the table's order

    @property
    def dates(self) -> Literal["removed", "modified", "kept"]:
        """What is promised of the dates."""
        if self.has("retain_longitudinal_full_dates"):
            return "kept"
        return "modified" if self.has("retain_longitudinal_modified_dates") else "removed"

    def has(self, option: str) -> bool:
        return option in self.options


@dataclass(frozen=True, slots=True)
class _Object:
    """What the judge knows of the object at hand."""

    context: MorphContext
    days: int
    identifiers: frozenset[str]


def compile_deidentify(parameters: Any) -> Step:
    """{profile, options, burned_in}. Raises PlugError."""
    wanted = _wanted(parameters)

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        if wanted.burned_in == "refuse":
            refuse_burned_in(data_set)
        days = 0
        if wanted.has("retain_longitudinal_modified_dates"):
            days = mapped_days(context, patient_of(data_set), UP_TO_DAYS)
        here = _Object(context, days, _words(data_set))
        data_set.judge_all(partial(_judge, wanted, here))
        mark(data_set, wanted.options, table().edition)

    return step


def _wanted(parameters: Any) -> _Wanted:
    known_keys(parameters, "deidentify", _KEYS, ("profile",))
    if text_of(parameters["profile"]) != "basic":
        raise PlugError("no such profile", path=("profile",), hint="basic", code="DR102")
    options = [text_of(name) for name in as_list(parameters.get("options", []))]
    for index, name in enumerate(options):
        if name in _IMPOSSIBLE:
            raise PlugError(
                f"'{name}' would need eyes on the pixels, which this router never decodes",
                path=("options", index),
                hint="send the object to a tool that can, or leave it out",
            )
        if name not in OPTIONS:
            raise PlugError(
                f"'{name}' is no option",
                path=("options", index),
                hint=f"one of: {', '.join(OPTIONS)}",
                code="DR102",
            )
    if {"retain_longitudinal_full_dates", "retain_longitudinal_modified_dates"} <= set(options):
        raise PlugError("dates are either kept or modified", path=("options",), code="DR102")
    burned_in = text_of(parameters.get("burned_in", "refuse"))
    if burned_in not in {"refuse", "allow"}:
        raise PlugError(
            "refuse or allow is expected", path=("burned_in",), hint="refuse, allow", code="DR102"
        )
    columns = (column for name, (_, _, column) in OPTIONS.items() if column and name in options)
    return _Wanted(frozenset(options), burned_in, tuple(columns))


def _judge(wanted: _Wanted, here: _Object, tag: int, vr: str, creator: str | None) -> Verdict:
    """What becomes of one element (PS3.15 E.1)."""
    group = tag >> 16
    if group & 1:
        keep = wanted.has("retain_safe_private") and safe_private(tag, creator)
        return None if keep else REMOVE
    if group >> 8 in _GRAPHIC_GROUPS:
        return REMOVE
    row = table().row(tag)
    if row is None:
        return _unnamed(wanted, here, tag, vr)
    for column in wanted.columns:
        action = row.options.get(column)
        if action == "K":
            return None
        if action == "C" and column == "modified_dates" and vr in _WHEN:
            return _moved_dates(here, tag, vr)
        if action == "C" and column == "descriptors" and vr != "SQ":
            return partial(_clean, here)
        if action == "C" and column == "structured_content":
            return None
    return _basic(row.basic, here, vr)


def _basic(action: str, here: _Object, vr: str) -> Verdict:
    if action == "X":
        return REMOVE
    if action == "U":
        return partial(mapped_value, here.context) if vr == "UI" else None
    # A sequence of dummies would hold real items: none at all is the safe reading of D.
    if action == "Z" or vr == "SQ":
        return lambda _raw: b""
    if vr == "UI":
        return partial(mapped_value, here.context)
    return lambda _raw: dummy(vr)


def _unnamed(wanted: _Wanted, here: _Object, tag: int, vr: str) -> Verdict:
    """What the table does not name: unknown attributes, dates and UIDs are not taken on trust."""
    if all_vrs_for(tag) == _UNKNOWN or vr == "UN":
        return REMOVE
    if vr == "UI" and tag not in CLASS_TAGS:
        return None if wanted.has("retain_uids") else partial(mapped_value, here.context)
    if vr in _WHEN:
        if wanted.has("retain_longitudinal_full_dates"):
            return None
        if wanted.has("retain_longitudinal_modified_dates"):
            return _moved_dates(here, tag, vr)
        return lambda raw: dummy(vr) if raw.strip(b" \0") else None
    if tag == _TEXT_VALUE:
        return partial(_clean, here)
    return None


def _moved_dates(here: _Object, tag: int, vr: str) -> Change | None:
    return None if vr == "TM" else lambda raw: moved_value(tag, raw, here.days)


def _clean(here: _Object, raw: bytes) -> bytes:
    """ASCII words that tell nothing; text beyond ASCII goes, for it cannot be judged word by word."""
    text = raw.decode("ascii", "replace").replace("\ufffd", "@").rstrip("\0 ")
    fresh = cleaned(text, here.identifiers).encode("ascii")[:64]
    return fresh + b" " * (len(fresh) % 2)


def _words(data_set: EditableDataSet) -> frozenset[str]:
    """Words of the patient's and others' names and IDs, folded, for cleaning descriptors."""
    found: set[str] = set()
    for keyword in _WHO:
        attribute = data_set.get(parse_path(keyword))
        for value in attribute.values if attribute else ():
            for word in str(value).replace("^", " ").replace("=", " ").casefold().split():
                if len(word) > 2:
                    found.add(word)
    return frozenset(found)


_WHO: Final = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "PhysiciansOfRecord",
    "RequestingPhysician",
    "StationName",
    "StudyID",
)


def check_deidentified(parameters: Any) -> Callable[[EditableDataSet, MorphContext], None]:
    """The check to make when all steps have run. Raises MorphFailed naming kind and place."""
    wanted = _wanted(parameters)
    kept = CLASS_TAGS | {
        tag
        for tag, row in table().rows.items()
        if any(row.options.get(column) == "K" for column in wanted.columns)
    }

    def check(data_set: EditableDataSet, _: MorphContext) -> None:
        found = data_set.remaining_identifiers(
            uids_may_stay=wanted.has("retain_uids"),
            dates=wanted.dates,
            kept_tags=kept,
        )
        if found:
            raise MorphFailed(f"an original {found[0].kind} is still in {found[0].where}")

    return check


def _writes(_: Any) -> frozenset[Path]:
    return named(("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate"))


PLUGS = (
    Morph(
        name="deidentify",
        summary="De-identifies by PS3.15 annex E, and checks the result before it leaves.",
        schema={
            "type": "object",
            "required": ["profile"],
            "additionalProperties": False,
            "properties": {
                "profile": {
                    "enum": ["basic"],
                    "description": "The Basic Application Level Confidentiality Profile.",
                },
                "options": {
                    "type": "array",
                    "uniqueItems": True,
                    "items": {"enum": [*OPTIONS, *_IMPOSSIBLE]},
                    "description": "Options of the profile: what else is kept or cleaned.",
                },
                "burned_in": {
                    "enum": ["refuse", "allow"],
                    "description": "Objects that may show a name in their pixels: refuse, allow.",
                },
            },
            "description": "{profile: basic, options: [retain_device_identity]}",
        },
        example="deidentify: {profile: basic, options: [retain_device_identity]}",
        compile=compile_deidentify,
        writes=_writes,
        check=check_deidentified,
    ),
)
