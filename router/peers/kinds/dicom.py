"""A DICOM station: its keys, as a JSON Schema fragment (draft-07)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.model.plug import StationKind
from router.peers.kinds import when_used


def _flag(description: str) -> Mapping[str, Any]:
    return {"type": "boolean", "description": description}


_AE_TITLE: Final = "^[ -\\[\\]-~]{1,16}$"

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"const": "dicom"},
        "ae_title": {
            "type": "string",
            "pattern": _AE_TITLE,
            "description": "Its AE title: 1 to 16 characters, case-sensitive, no backslash.",
        },
        "host": {
            "type": "string",
            "minLength": 1,
            "description": "Its address or name; a name is resolved for every association.",
        },
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "description": "Its port; needed to send, to query and for the heartbeat, else left out.",
        },
        "tls": {
            "type": "string",
            "minLength": 1,
            "description": "The TLS profile of associations with it.",
        },
        "calling_ae_title": {
            "type": "string",
            "pattern": _AE_TITLE,
            "description": "The AE title we call it with; the router's own when left out.",
        },
        "archive_server": _flag("It is searched when priors are fetched."),
        "iocm": _flag("It wants to be told of rejections (IOCM)."),
        "commit": {
            "enum": [False, True, "query"],
            "description": "Delivered is what it committed to keep (Storage Commitment), or what is "
            "found there (query).",
        },
        "original_patient_id": _flag(
            "It gets Patient ID and Issuer of Patient ID as they were received."
        ),
        "character_set": {
            "type": "string",
            "minLength": 1,
            "description": "The character set assumed when an object from it declares none.",
        },
        "issuer_of_patient_id": {
            "type": "string",
            "minLength": 1,
            "description": "The Issuer of Patient ID filled in when an object from it has none.",
        },
    },
    "required": ["ae_title"],
}

_EXAMPLE: Final = """\
ae_title: PACS
host: pacs.hospital-a.example
port: 11112
send: true
query_retrieve: true
"""

PLUGS = (
    StationKind(
        name="dicom",
        summary="A DICOM application entity, reached by C-STORE, C-ECHO, C-FIND, C-MOVE.",
        schema=_SCHEMA,
        example=_EXAMPLE,
        make=when_used("router.peers.dicom:DicomPeer"),
    ),
)
