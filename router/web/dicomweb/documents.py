"""Data sets as documents: DICOM JSON in one array, or XML with a part for each (PS3.18 8.7.3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from starlette.responses import JSONResponse, Response

from router.dicom.xml_model import to_xml
from router.web.dicomweb.accepting import DICOM_JSON, accepted
from router.web.dicomweb.retrieve import related

DICOM_XML: Final = "application/dicom+xml"
OFFERED: Final = f'the answer is {DICOM_JSON}, or multipart/related; type="{DICOM_XML}"'
Form = Literal["json", "xml"]


def form_of(header: str | None) -> Form | None:
    """The form the client likes best; None where it takes neither."""
    for one in accepted(header):
        if not one.is_multipart and (one.meets(DICOM_JSON) or one.meets("application/json")):
            return "json"
        if one.media_type == DICOM_XML:
            return "xml"
    return None


def documents(
    found: Sequence[dict[str, Any]],
    form: Form,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that holds these data sets, given as JSON members."""
    if form == "json":
        return JSONResponse(found, status, headers, media_type=DICOM_JSON)
    bodies = ((DICOM_XML, iter((to_xml(one),))) for one in found)
    return related(bodies, DICOM_XML, status, dict(headers or {}))
