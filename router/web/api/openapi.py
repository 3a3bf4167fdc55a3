"""The OpenAPI 3.1 document, made of the same descriptions that answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from router.web.api.call import JSON, Endpoint
from router.web.api.dispatch import PREFIX

_PROBLEM: Final = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "problems": {
            "type": "array",
            "description": "Problems of the configuration: file, line, column, code, message, hint.",
            "items": {"type": ["object", "string"]},
        },
    },
}
_REFUSALS: Final = {
    "400": "A parameter or the body is malformed.",
    "401": "No valid token or session, or a change without the proof that a page of ours asks.",
    "403": "The token lacks the scope.",
    "404": "There is no such thing.",
    "409": "It cannot be done as things stand.",
    "412": "It was changed since you saw it.",
    "413": "The body is too large.",
    "415": "Another media type is needed.",
    "422": "The body cannot be acted upon.",
    "428": "If-Match is needed.",
    "429": "Too many failed attempts, or too much at once.",
    "503": "The store cannot be read or written now.",
}


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dicom-router",
            "version": version,
            "description": "Times are UTC. Attributes of patients need the scope phi.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "responses": {
                status: {
                    "description": text,
                    "content": {
                        "application/problem+json": {
                            "schema": {"$ref": "#/components/schemas/Problem"}
                        }
                    },
                }
                for status, text in _REFUSALS.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-dicom-router-session",
                },
            },
        },
    }


def _operation(one: Endpoint) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]
    parameters += [
        {"name": each.name, "in": "query", "description": each.text, "schema": dict(each.schema)}
        for each in one.parameters
    ]
    if one.acts:
        parameters.append(_header("Idempotency-Key", "The same key acts once within a day."))
    if one.needs_match:
        parameters.append(_header("If-Match", "The ETag of what you have seen.", required=True))
    answer = {"content": {JSON: {"schema": dict(one.schema)}}}
    operation: dict[str, Any] = {
        "operationId": f"{one.method.lower()}{re.sub(r'[^A-Za-z]+', '_', one.path).rstrip('_')}",
        "summary": one.summary,
        "description": f"Scope: `{one.scope}`.",
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", **answer},
            **(
                {"202": {"description": "Begun: ask what comes of it.", **answer}}
                if one.acts
                else {}
            ),
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _REFUSALS},
        },
    }
    if one.body is not None:
        schema = dict(one.body.schema) or {"type": "object"}
        content = {"schema": schema} if one.body.media_type == JSON else {}
        operation["requestBody"] = {
            "description": one.body.text,
            "required": True,
            "content": {one.body.media_type: content},
        }
    return operation


def _header(name: str, text: str, *, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "header",
        "description": text,
        "required": required,
        "schema": schema,
    }
