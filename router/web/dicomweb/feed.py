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
    texts = [
        request.query_params.get("offset", "0"),
        request.query_params.get("limit", str(DEFAULT_ENTRIES)),
    ]
    if not all(text.isascii() and text.isdigit() and len(text) < 18 for text in texts):
        return problem(400, "offset and limit must be whole numbers")
    offset, limit = map(int, texts)
    entries = services.ledger.changes(offset, min(limit, MAX_ENTRIES))
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
