"""The schema: written for editors, and used here to check shapes; the only door to jsonschema.

Alternatives are told apart by `type`, or by the one key of a step, before anything is validated, so
that every error says what is wrong with what was meant. The bundle that editors read is made of the
same fragments, with `if`/`then` in place of the dispatch. Nothing raises on any document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from router.config import shapes_deploy, shapes_notices, shapes_router, shapes_rules, wording
from router.config.nodes import Mapping as MappingNode
from router.config.nodes import Node, PathPart, Scalar, node_at, place_at, plain, show_path
from router.config.plugged import Plugs
from router.config.report import Report
from router.config.shapes import Fragment
from router.config.shapes_organizations import ORGANIZATION
from router.config.shapes_stations import AUTH, stations
from router.config.tree import SECTIONS
from router.config.wording import Words
from router.model.problem import Place
from router.model.words import is_one_slip

_NUMBER_LIKE = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9]*)?\Z")


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    # In ECMA-262 `$` is the very end, in Python also the place before a last line feed: with one
    # more line feed behind, Python's `$` is where it should be.
    if isinstance(value, str):
        subject = value + "\n" if value.endswith("\n") else value
        if not re.search(pattern, subject):
            yield ValidationError("no match")


def _is_whole(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# As draft-07, but 104.0 is no whole number: what asks for one counts or indexes with it.
_extend: Any = extend  # not annotated
_VALIDATOR: Final[Any] = _extend(
    Draft7Validator,
    {"pattern": _pattern},
    type_checker=Draft7Validator.TYPE_CHECKER.redefine("integer", _is_whole),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check leaves: the keys of a mapping whose values have the right shape."""

    data: dict[str, Any]
    is_fine: bool


class Shapes:
    """Checks nodes against fragments; validators are built once for each fragment."""

    def __init__(self, plugs: Plugs, report: Report) -> None:
        self.stations = stations(plugs.station_kinds)
        self._report = report
        self._validators: dict[int, tuple[Mapping[str, Any], Any]] = {}

    def check(
        self,
        node: Node,
        fragment: Mapping[str, Any],
        path: tuple[PathPart, ...],
        key_place: Place | None = None,
        data: Any = None,
    ) -> Checked:
        """Report whatever is wrong with the shape of `node`, and give what is right.

        `key_place` is where its name stands, for what is missing in it; `data` its plain value
        when the caller has it already (or has it raw).
        """
        data = plain(node) if data is None else data
        wrong: set[PathPart] = set()
        faults = 0
        errors = list(self._validator(fragment).iter_errors(data))
        for error in errors:
            faults += 1
            wrong.update(tuple(error.absolute_path)[:1])
            slips = _slips(error) if error.validator == "required" else []
            for slip, name in slips:
                below = (*error.absolute_path, slip)
                words = wording.unknown_key(slip, [name], show_path((*path, *below[:-1])))
                self._add(words, place_at(node, below, at_key=True), (*path, *below))
            if not slips:
                self._report_error(_most_telling(error), node, path, key_place)
        unquoted = self._number_like_titles(node, fragment, path)
        if not isinstance(data, dict):
            return Checked({}, is_fine=not faults)
        wrong.update(unquoted)
        known = fragment.get("properties", data)
        sound = {key: data[key] for key in data if key not in wrong and key in known}
        return Checked(sound, is_fine=not faults and not unquoted)

    def _validator(self, fragment: Mapping[str, Any]) -> Any:
        known = self._validators.get(id(fragment))
        if known is None:
            known = fragment, _VALIDATOR(dict(fragment))
            self._validators[id(fragment)] = known
        return known[1]

    def _report_error(
        self,
        error: ValidationError,
        node: Node,
        path: tuple[PathPart, ...],
        key_place: Place | None,
    ) -> None:
        below = tuple(error.absolute_path)
        full = (*path, *below)
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = _around(error).get("properties", {})
            for key in error.instance:
                if key not in known:
                    words = wording.unknown_key(key, known, show_path(full))
                    place = place_at(node, (*below, key), at_key=True)
                    self._add(words, place, (*full, key))
            return
        place = place_at(node, below)
        if error.validator == "required":
            place = place_at(node, below, at_key=True) if below else key_place or place
        self._add(_words(error, node_at(node, below), full), place, full)

    def _add(self, words: Words, place: Place, path: tuple[PathPart, ...]) -> None:
        self._report.error(words.code, words.message, place, path=show_path(path), hint=words.hint)

    def _number_like_titles(
        self, node: Node, fragment: Mapping[str, Any], path: tuple[PathPart, ...]
    ) -> list[str]:
        """AE titles that are read as numbers elsewhere (`0123`) must stand in quotes."""
        unquoted: list[str] = []
        if not isinstance(node, MappingNode):
            return unquoted
        for key, entry in node.entries.items():
            value, shape = entry.value, fragment.get("properties", {}).get(key, {})
            if shape.get("format") != "ae-title" or not isinstance(value, Scalar) or value.style:
                continue
            if isinstance(value.value, str) and _NUMBER_LIKE.match(value.text):
                self._add(wording.number_like_text(key, value.text), value.place, (*path, key))
                unquoted.append(key)
        return unquoted


def schema(plugs: Plugs) -> dict[str, Any]:
    """The whole language as one JSON Schema (draft-07), with hover texts, for YAML editors."""
    steps = {"$ref": "#/definitions/steps"}
    entry = _with(shapes_rules.ROUTE_ENTRY, {"morph": steps})
    rule = _with(
        shapes_rules.RULE,
        {
            "match": {"$ref": "#/definitions/condition"},
            "morph": steps,
            "route": _with_items(shapes_rules.RULE["properties"]["route"], entry),
        },
    )
    kinds = {name: _with_steps(kind) for name, kind in stations(plugs.station_kinds).items()}
    dicomweb = _with(kinds["dicomweb"], {"auth": _alternatives(AUTH, None, "How we authenticate.")})
    deploy = {"auth": _alternatives(shapes_deploy.AUTH, None, "How we authenticate there.")}
    sections: dict[str, Fragment] = {
        "version": shapes_router.VERSION,
        "router": shapes_router.ROUTER,
        "listeners": _named("Where we accept.", "listener"),
        "tls": _map_of("TLS profiles.", shapes_router.TLS),
        "defaults": shapes_router.DEFAULTS,
        "organizations": _map_of("Whose stations there are.", ORGANIZATION),
        "stations": _named("The remotes of this site.", "station"),
        "rules": {"type": "array", "description": "In order.", "items": rule},
        "morphs": _named("Named lists of steps.", "steps"),
        "tables": _map_of("Named tables for `map` steps.", shapes_rules.TABLE),
        "cache": shapes_router.CACHE,
        "audit": shapes_notices.AUDIT,
        "webhooks": _map_of("Who is told what happens here.", shapes_notices.WEBHOOK),
        "deploy": _with(shapes_deploy.DEPLOY, deploy),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dicom-router configuration",
        "description": "One file of a dicom-router configuration folder.",
        "type": "object",
        "properties": {name: sections[name] for name in SECTIONS},
        "additionalProperties": False,
        "definitions": {
            "listener": _alternatives(shapes_router.LISTENERS, None, "Where we accept."),
            "station": _alternatives({**kinds, "dicomweb": dicomweb}, "dicom", "A remote."),
            "condition": shapes_rules.condition(plugs.operators),
            "steps": shapes_rules.steps(plugs.steps),
        },
    }


def schema_text(plugs: Plugs) -> str:
    """The schema as it stands in `schemas/dicom-router.schema.json`."""
    return json.dumps(schema(plugs), indent=1, ensure_ascii=False) + "\n"


def _most_telling(error: ValidationError) -> ValidationError:
    return best_match([error]) if error.context else error


def _slips(error: ValidationError) -> list[tuple[str, str]]:
    """(what stands there, what is missing) when everything missing is there but for a letter."""
    if not isinstance(error.instance, dict):
        return []
    known = _around(error).get("properties", {})
    unknown = [key for key in error.instance if key not in known]
    required: Any = error.validator_value
    missing = [key for key in required if key not in error.instance]
    found = [(key, name) for name in missing for key in unknown if is_one_slip(key, name)]
    return found if {name for _, name in found} == set(missing) else []


def _around(error: ValidationError) -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _words(error: ValidationError, node: Node | None, path: tuple[PathPart, ...]) -> Words:
    keyword, value = str(error.validator), error.instance
    limit: Any = error.validator_value
    name = wording.name_of(path)
    around = _around(error)
    if keyword == "type":
        return wording.wrong_type(around, node, name, value)
    if keyword == "enum":
        return wording.wrong_choice(list(limit), value)
    if keyword == "const":
        return wording.wrong_choice([limit], value)
    if keyword in ("pattern", "minLength", "maxLength") and isinstance(value, str):
        return wording.wrong_text(around, name, value)
    if keyword in ("minimum", "maximum"):
        return wording.out_of_range(around, name, value)
    if keyword == "required" and isinstance(value, Mapping):
        missing = [key for key in limit if key not in value]
        return wording.missing_keys(missing, show_path(path))
    return wording.other_fault(keyword, limit, name, str(around.get("description", "")))


def _with(fragment: Fragment, properties: dict[str, Fragment]) -> Fragment:
    return {**fragment, "properties": {**fragment["properties"], **properties}}


def _with_steps(kind: Fragment) -> Fragment:
    """A kind of station whose hooks are lists of steps."""
    hooks = kind["properties"].get("morph")
    if hooks is None:
        return kind
    steps = {
        name: {"$ref": "#/definitions/steps", "description": hook["description"]}
        for name, hook in hooks["properties"].items()
    }
    return _with(kind, {"morph": _with(hooks, steps)})


def _with_items(fragment: Fragment, entry: Fragment) -> Fragment:
    name = {"type": "string", "minLength": 1, "description": "A station with `send: true`."}
    return {**fragment, "items": {"if": {"type": "string"}, "then": name, "else": entry}}


def _named(description: str, definition: str) -> Fragment:
    return _map_of(description, {"$ref": f"#/definitions/{definition}"})


def _map_of(description: str, item: Fragment) -> Fragment:
    return {"type": "object", "description": description, "additionalProperties": item}


def _alternatives(kinds: Mapping[str, Fragment], default: str | None, words: str) -> Fragment:
    """Told apart by `type`; without it, the default."""
    branches: list[Fragment] = [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": fragment,
        }
        for kind, fragment in kinds.items()
    ]
    if default is not None:
        branches.append({"if": {"not": {"required": ["type"]}}, "then": kinds[default]})
    return {
        "type": "object",
        "description": words,
        "properties": {"type": _kind_choice(kinds, default)},
        "required": [] if default is not None else ["type"],
        "allOf": branches,
    }


def _kind_choice(kinds: Iterable[str], default: str | None) -> Fragment:
    chosen: Fragment = {"enum": list(kinds), "description": "Its kind."}
    return chosen if default is None else {**chosen, "default": default}
