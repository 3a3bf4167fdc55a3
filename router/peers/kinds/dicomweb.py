"""A DICOMweb station: its keys, as a JSON Schema fragment (draft-07)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.dicomweb.profiles import PROFILES
from router.model.plug import StationKind
from router.peers.kinds import when_used

_SECRET: Final[Mapping[str, Any]] = {
    "description": "Where the secret is kept: {file: NAME} or {env: NAME}; never the secret itself.",
    "oneOf": [
        {
            "type": "object",
            "properties": {"file": {"type": "string", "minLength": 1}},
            "required": ["file"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"env": {"type": "string", "minLength": 1}},
            "required": ["env"],
            "additionalProperties": False,
        },
    ],
}


def _text(description: str) -> Mapping[str, Any]:
    return {"type": "string", "minLength": 1, "description": description}


def _auth(kind: str, required: list[str], properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
        "additionalProperties": False,
    }


_OAUTH: Final = _auth(
    "oauth2",
    ["token_url", "client_id"],
    {
        "token_url": _text("The https address of the token endpoint."),
        "client_id": _text("The name the authorisation server knows us by."),
        "client_secret": {**_SECRET, "description": "The client secret, by reference."},
        "private_key": _text("A PEM file with an RSA or P-256 key, to sign an assertion with."),
        "key_id": _text("The key id (kid) that goes into the assertion."),
        "audience": _text("The audience of the assertion; the token address when left out."),
        "scope": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "Scopes to ask for.",
        },
        "resource": _text("The resource of endpoints that know no scopes (Entra v1)."),
        "send_secret_in": {
            "enum": ["body", "header"],
            "description": "Where the endpoint wants the secret; body unless said otherwise.",
        },
    },
)

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"const": "dicomweb"},
        "profile": {
            "enum": [profile.name for profile in PROFILES],
            "description": "Which server it is: what it accepts, and how its answers are read.",
        },
        "url": {
            "type": "string",
            "pattern": "^https?://[^\\s]+$",
            "description": "Address of the DICOMweb service, with its version segment if it has one.",
        },
        "tls": _text("The TLS profile whose authorities are trusted in place of the system's."),
        "auth": {
            "description": "How we identify ourselves.",
            "oneOf": [
                _OAUTH,
                _auth("bearer", ["token"], {"token": _SECRET}),
                _auth(
                    "basic",
                    ["username", "password"],
                    {
                        "username": _text("The user name."),
                        "password": _SECRET,
                    },
                ),
            ],
        },
        "allow_insecure_http": {
            "type": "boolean",
            "description": "Permit an address without TLS: images and tokens travel readable.",
        },
    },
    "required": ["type", "url"],
}

_EXAMPLE: Final = """\
type: dicomweb
profile: azure
url: https://dicom.cloud.example/v2
send: true
auth:
  type: oauth2
  token_url: https://login.cloud.example/oauth2/v2.0/token
  client_id: edge-a
  client_secret: {file: cloud-secret}
  scope: [https://dicom.cloud.example/.default]
"""

PLUGS = (
    StationKind(
        name="dicomweb",
        summary="A DICOMweb server, reached over HTTPS with STOW-RS, QIDO-RS and WADO-RS.",
        schema=_SCHEMA,
        example=_EXAMPLE,
        make=when_used("router.peers.dicomweb:DicomwebPeer"),
    ),
)
