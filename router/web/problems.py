"""Problem details (RFC 9457): what went wrong, as programs and people read it.

Configuration problems carry their place: `file`, `line`, `column`, `code`, `hint`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from router.model.problem import Problem

MEDIA_TYPE: Final = "application/problem+json"


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document; `members` are added to it."""
    document = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    text = json.dumps(document, ensure_ascii=False)
    return Response(text, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_json(one: Problem) -> dict[str, Any]:
    """One problem of the configuration."""
    return {
        "severity": one.severity,
        "code": one.code,
        "message": one.message,
        "file": one.place.file,
        "line": one.place.line,
        "column": one.place.column,
        "path": one.path,
        "hint": one.hint,
    }


def problems_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """All of them, in their order."""
    return [problem_json(one) for one in problems]
