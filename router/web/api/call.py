"""What an endpoint is: its description, what it is called with, what it gives back.

An endpoint is a plain function of services and call that returns JSON; the dispatcher does the rest:
identity, scope, parameters, bodies, entity tags, idempotency, problems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from router.web.access import Identity
from router.web.services import Services

Method = Literal["GET", "POST", "PUT"]
JSON: Final = "application/json"
DICOM: Final = "application/dicom"
TEXT: Final = "text/plain"
Schema = Mapping[str, Any]


class Wrong(Exception):
    """The request cannot be done: answered as a problem document with these members."""

    def __init__(self, status: int, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.members = members


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked against the description of its endpoint."""

    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any = None
    if_match: str = ""
    address: str = ""

    @property
    def sees_patients(self) -> bool:
        """Whether attributes of patients may be in the answer."""
        return "phi" in self.identity.scopes


@dataclass(frozen=True, slots=True)
class Reply:
    """JSON with another status than 200, an entity tag of its own, or more headers."""

    data: Any
    status: int = 200
    etag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: its name, and a JSON Schema of one value."""

    name: str
    schema: Schema
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries. `required` keys are those of a JSON object."""

    text: str
    media_type: str = JSON
    schema: Schema = field(default_factory=dict)
    most_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path below `/api/v1`. `acts`: an Idempotency-Key makes it act once.

    `within`: it answers a token limited to organizations, of their stations alone; others refuse it.
    """

    method: Method
    path: str
    scope: str
    summary: str
    answer: Callable[[Services, Call], Any]
    schema: Schema
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    acts: bool = False
    needs_match: bool = False
    within: bool = False


LIMIT: Final = Parameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}, "Most of a page."
)
CURSOR: Final = Parameter("cursor", {"type": "string"}, "`next` of the page before.")


def text(words: str, **more: Any) -> Schema:
    """The schema of a text."""
    return {"type": "string", "description": words, **more}


def whole(words: str, **more: Any) -> Schema:
    """The schema of a whole number."""
    return {"type": "integer", "description": words, **more}


def flag(words: str, **more: Any) -> Schema:
    """The schema of true or false."""
    return {"type": "boolean", "description": words, **more}


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def many(items: Schema) -> Schema:
    """The schema of a list."""
    return {"type": "array", "items": items}


def record(
    properties: Mapping[str, Schema],
    *,
    optional: Collection[str] = (),
    open_ended: bool = False,
) -> Schema:
    """The schema of an object that always has these keys, but for the optional ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": open_ended,
    }
