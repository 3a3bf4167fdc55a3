"""The change feed: what came here, in the order it was booked, for clients that follow.

The sequence is the ledger's own number of an instance: durable, growing, with gaps where something
was not kept. An entry says whether its object is still what is given (`current`), was replaced by
another version, or is gone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.store.ledger import Change
from router.web.dicomweb.services import DicomwebServices
from router.web.problems import problem

MAX_ENTRIES: Final = 1_000
DEFAULT_ENTRIES: Final = 100


def change_feed(request: Request, services: DicomwebServices) -> Response:
    """GET of changefeed: entries after sequence `offset`, at most `limit`."""
    numbers: dict[str, int] = {"offset": 0, "limit": DEFAULT_ENTRIES}
    for name in numbers:
        text = request.query_params.get(name, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 18):
            return problem(400, f"{name} must be a whole number")
        numbers[name] = int(text) if text else numbers[name]
    limit = min(numbers["limit"], MAX_ENTRIES)
    entries = services.ledger.changes(numbers["offset"], limit)
    return JSONResponse([_entry(one) for one in entries])


def latest(_request: Request, services: DicomwebServices) -> Response:
    """GET of changefeed/latest: the last entry, or 204."""
    one = services.ledger.latest_change()
    return Response(status_code=204) if one is None else JSONResponse(_entry(one))


def _entry(one: Change) -> dict[str, Any]:
    return {
        "sequence": one.sequence,
        "studyInstanceUid": one.study_instance_uid,
        "seriesInstanceUid": one.series_instance_uid,
        "sopInstanceUid": one.sop_instance_uid,
        "action": "create",
        "timestamp": datetime.fromtimestamp(one.received_at, UTC).isoformat(),
        "state": one.state,
    }
