"""Shapes of rules: match, morph, route, and the named morphs and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from router.config import shapes
from router.config.nodes import node_at, plain
from router.config.report import Report
from router.config.shapes import Fragment
from router.config.text import parse
from router.match.named_facts import FACTS
from router.model.plug import Morph, Operator

PRIORITIES: Final = ("high", "medium", "low", "stat", "asap", "urgent", "routine")

_ROUTE_PRIORITY: Final = shapes.choice("Order of sending.", PRIORITIES, default="medium")
ROUTE_ENTRY: Final = shapes.mapping(
    "One destination.",
    {
        "to": shapes.text(
            "A station with `send: true`.", title="the name of a station", examples=["pacs"]
        ),
        "first_of": {
            "type": "array",
            "title": "a list of stations",
            "description": "The first of these stations that can take it gets it, and only that one.",
            "minItems": 1,
            "items": shapes.text("A station.", title="the name of a station"),
        },
        "when": shapes.choice(
            "When it is sent: each instance at once, or when its series or study is complete.",
            ("instance", "series", "study"),
            default="instance",
        ),
        "idle": shapes.duration("Silence that completes a series or study.", default="30s"),
        "priority": _ROUTE_PRIORITY,
        "morph": {
            "type": ["array", "string"],
            "title": "a list of steps",
            "description": "Changes for this destination only, after those of the rule.",
        },
        "transfer_syntax": shapes.text(
            "Transfer syntax to send in.",
            title="a transfer syntax",
            examples=["ExplicitVRLittleEndian", "ImplicitVRLittleEndian"],
        ),
    },
)

FETCH_PRIORS: Final = shapes.mapping(
    "Earlier studies of the patient, fetched once for a study that the rule matched.",
    {
        "from": {
            "type": ["array", "string"],
            "title": "a list of stations",
            "description": "Stations with `archive_server: true`, in this order; without it all.",
            "minItems": 1,
            "minLength": 1,
        },
        "modality": {
            "type": ["array", "string"],
            "title": "a modality or a list of them",
            "description": "Only studies with one of these; `same` is the one that came.",
            "examples": ["same", "CT"],
        },
        "description": {
            "type": ["array", "string"],
            "title": "a word or a list of words",
            "description": "Only studies whose description holds one of these, in any case.",
            "examples": ["chest"],
        },
        "at_most": shapes.whole("The latest so many.", 1, 50, default=3),
        "hours": shapes.hours("Local hours in which they are fetched; may pass midnight."),
    },
)

RULE: Final = shapes.mapping(
    "Which instances, what is changed, and where they go.",
    {
        "name": shapes.text(
            "Shown wherever the rule acted; unique.", examples=["everything to the archive"]
        ),
        "description": shapes.text("For people.", examples=["Agreed with the ward in May"]),
        "match": {
            "type": "object",
            "title": "a mapping of conditions",
            "description": "All must hold; without it the rule is for every instance.",
        },
        "morph": {
            "type": ["array", "string"],
            "title": "a list of steps",
            "description": "Changes on the way, top to bottom.",
        },
        "route": {
            "type": ["array", "string"],
            "title": "a list of stations",
            "description": "Where it goes.",
            "minItems": 1,
            "minLength": 1,
        },
        "discard": {
            "const": True,
            "title": "true",
            "description": "Take it and drop it.",
        },
        "refuse": shapes.mapping(
            "Answer the peer with a failure.",
            {
                "status": {
                    **shapes.whole("DIMSE status the peer hears.", 1, 0xFFFF, default=0xC001),
                    "title": "a DIMSE status such as 0xC001",
                },
                "comment": shapes.text(
                    "Error comment the peer hears.", maxLength=64, examples=["no films here"]
                ),
            },
        ),
        "fetch_priors": FETCH_PRIORS,
        "final": shapes.switch("Ends the list for an instance this rule matched."),
        "enabled": shapes.switch("Off: the rule is checked and does nothing.", default=True),
    },
    ("name",),
)

TABLE: Final[Fragment] = {
    "type": "object",
    "title": "a mapping of texts",
    "description": "A table that `map` steps use by name.",
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}

_LITERAL: Final[Fragment] = {"type": ["string", "number", "boolean"]}


def condition(operators: Iterable[Operator]) -> Fragment:
    """The shape of `match` for editors; `#/definitions/condition` must be this."""
    listed: Fragment = {
        "type": "array",
        "description": "Any of these.",
        "items": {"type": ["string", "number", "boolean", "object"]},
    }
    tests: Fragment = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            operator.name: {
                **operator.schema,
                "title": operator.name,
                "description": operator.summary,
                "examples": _examples(operator),
            }
            for operator in operators
        },
        "additionalProperties": False,
    }
    again = {"$ref": "#/definitions/condition"}
    value: Fragment = {
        "if": {"type": "object"},
        "then": tests,
        "else": {"if": {"type": "array"}, "then": listed, "else": _LITERAL},
    }
    facts = {name: {**value, "description": fact.summary} for name, fact in FACTS.items()}
    return {
        "type": "object",
        "description": "Keywords, tags or facts; all must hold.",
        "properties": {
            "all": {"type": "array", "items": again, "description": "All of these hold."},
            "any": {"type": "array", "items": again, "description": "At least one holds."},
            "not": {**again, "description": "This does not hold."},
            **facts,
        },
        "additionalProperties": value,
    }


def _examples(plug: Operator | Morph) -> list[Any]:
    """The parameters in a plug's example, for hover and completion."""
    node = parse(plug.example, plug.name, Report())
    value = node_at(node, (plug.name,)) if node is not None else None
    return [] if value is None else [plain(value)]


def steps(morphs: Iterable[Morph]) -> Fragment:
    """The shape of `morph` for editors; `#/definitions/steps` must be this."""
    known = {
        morph.name: {
            **morph.schema,
            "title": morph.name,
            "description": morph.summary,
            "examples": _examples(morph),
        }
        for morph in morphs
    }
    step: Fragment = {
        "type": "object",
        "description": "One step, one key.",
        "properties": known,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    named: Fragment = {"type": "string", "description": "The name of a list under `morphs:`."}
    return {
        "type": ["array", "string"],
        "description": "Changes, top to bottom, or the name of a list under `morphs:`.",
        "items": {"if": {"type": "string"}, "then": named, "else": step},
    }
