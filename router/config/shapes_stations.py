"""Shapes of stations: what every kind has, and what is peculiar to dicom, dicomweb and folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from router.config import shapes
from router.config.shapes import Fragment
from router.config.shapes_router import HEARTBEAT, RETRY
from router.model.plug import StationKind

BUILT_IN: Final = ("dicom", "dicomweb", "folder")
PROFILES: Final = ("azure", "google", "aws", "orthanc", "dcm4chee", "generic")
EXTERNAL_PROFILES: Final = ("azure", "google", "aws")
AUTH_KINDS: Final = ("oauth2", "bearer", "basic")

_SUMMARIES: Final = {
    "dicom": "A neighbour that speaks DIMSE: a modality, an archive, a workstation.",
    "dicomweb": "A DICOMweb server, mostly in a cloud.",
    "folder": "A folder that objects are written into, one file each.",
}
_COMMON: Final[dict[str, Fragment]] = {
    "description": shapes.text("For people.", examples=["CT scanner, emergency room"]),
    "organization": shapes.text(
        "Whose it is, as `organizations:` names it; the router's own when absent.",
        title="the name of an organization",
        examples=["Hospital A"],
    ),
    "active": shapes.switch("Off: no association either way; queued work waits.", default=True),
    "send": shapes.switch("May be sent to."),
    "transfer_syntax": shapes.transfer_syntax(
        "What it gets things in, decoded or compressed for it."
    ),
    "external": shapes.switch(
        "Outside of the organization: `check` tells when it would get who the patient is. On by "
        "itself for the profiles azure, google and aws."
    ),
    "heartbeat": HEARTBEAT,
    "retry": RETRY,
}
_LIMITS: Final[dict[str, Fragment]] = {
    "bandwidth": shapes.rate("Most bytes a second to this station."),
    "hours": shapes.hours("Local hours in which it is sent to; may pass midnight."),
    "timeout": shapes.duration("Time an answer may take.", default="60s"),
}
_BATCH: Final = shapes.mapping(
    "How much goes in one request.",
    {
        "instances": shapes.whole("Most instances.", 1, 1000, default=16),
        "size": shapes.size("Most bytes.", default="64MiB"),
    },
)
_CHARACTER_SET: Final = shapes.text(
    "Assumed when an object from this station declares none.",
    title="a Specific Character Set",
    examples=["ISO_IR 100", "ISO_IR 192"],
)
_ISSUER: Final = shapes.text(
    "Issuer of Patient ID filled in on receive when it is blank.", examples=["HOSPA"]
)
_QUERY: Final = shapes.switch("May query and retrieve us, and be queried.")
_ARCHIVE: Final = shapes.switch("Is searched when priors are fetched.")
_TLS: Final = shapes.text(
    "Name of a profile under `tls:`.", title="the name of a TLS profile", examples=["hospital"]
)
_INSECURE: Final = shapes.switch("Allow http:// for this station: everything goes in clear.")
_SCOPE: Final = shapes.one_or_list(
    shapes.text("A scope.", examples=["https://dicom.cloud.example/.default"]), "Scopes to ask for."
)

AUTH: Final[dict[str, Fragment]] = {
    "oauth2": shapes.mapping(
        "OAuth 2.0 client credentials.",
        {
            "type": {"const": "oauth2", "description": "OAuth 2.0 client credentials."},
            "token_url": shapes.url("Where tokens are issued."),
            "client_id": shapes.text("Who we are there.", examples=["edge-a"]),
            "client_secret": shapes.secret("The client's secret."),
            "private_key": shapes.secret("The client's private key, PEM, instead of a secret."),
            "key_id": shapes.text("Identifier of the private key (`kid`).", examples=["key-1"]),
            "scope": _SCOPE,
            "audience": shapes.text(
                "Audience of the token, where the server asks for one.",
                examples=["https://dicom.cloud.example"],
            ),
            "resource": shapes.text(
                "Resource of the token, where the server asks for one.",
                examples=["https://dicom.cloud.example"],
            ),
            "send_secret_in": shapes.choice(
                "Where the client's secret is sent.", ("body", "header"), default="body"
            ),
        },
        ("type", "token_url", "client_id"),
    ),
    "bearer": shapes.mapping(
        "A fixed bearer token.",
        {
            "type": {"const": "bearer", "description": "A fixed bearer token."},
            "token": shapes.secret("The token."),
        },
        ("type", "token"),
    ),
    "basic": shapes.mapping(
        "HTTP basic authentication.",
        {
            "type": {"const": "basic", "description": "HTTP basic authentication."},
            "username": shapes.text("The user.", examples=["edge-a"]),
            "password": shapes.secret("The password."),
        },
        ("type", "username", "password"),
    ),
}
_CANCEL_UNSENT: Final = shapes.choice(
    "What is no longer sent to it once rejected: for patient safety and wrong worklist entries, or all.",
    ("safety", "all"),
    default="safety",
)
_DUPLICATES: Final = shapes.mapping(
    "What happens to an object it sends once more. It is answered with success, whatever is chosen.",
    {
        "same_content": shapes.choice(
            "The same bytes: owe only what is missing, or send it to everyone again.",
            ("send_missing", "send_again"),
            default="send_missing",
        ),
        "other_content": shapes.choice(
            "Other bytes under one UID: send them behind the first, send them instead of what waits of "
            "the first, or keep them apart for a person.",
            ("version", "replace", "quarantine"),
            default="version",
        ),
    },
)
HOOKS: Final[dict[str, str]] = {
    "receive": "Changes to what comes from it, before the rules see it.",
    "send": "Changes to what goes to it, behind the morphs of rule and route.",
    "find_request": "Changes to the keys of a query before it goes to the station.",
    "find_response": "Changes to each answer of the station to a query.",
    "retrieve_request": "Changes to what is asked of it in a retrieval.",
    "retrieve_response": "Changes to what it gives in a retrieval.",
}
DIMSE_HOOKS: Final = ("receive", "send", "find_request", "find_response")


def stations(kinds: Iterable[StationKind] = ()) -> dict[str, Fragment]:
    """The shape of each kind of station, those of the plugs included, by the word after `type:`."""
    shapes_by_kind = {kind: _built_in(kind) for kind in BUILT_IN}
    for kind in kinds:
        base = shapes_by_kind.get(kind.name)
        if base is None:
            base = _kind(kind.name, kind.summary, {}, ("type",))
        properties = {**_fragments(kind.schema), **base["properties"]}
        shapes_by_kind[kind.name] = {**base, "properties": properties}
    return shapes_by_kind


def _fragments(schema: Any) -> dict[str, Fragment]:
    return {key: dict(value) for key, value in schema.get("properties", {}).items()}


def _built_in(kind: str) -> Fragment:
    if kind == "dicom":
        return _kind(kind, _SUMMARIES[kind], _dicom(), ("ae_title",))
    if kind == "dicomweb":
        return _kind(kind, _SUMMARIES[kind], _dicomweb(), ("type", "url"))
    path = shapes.path("The folder.", examples=["/srv/reading-room"])
    limits = shapes.mapping("What it may be asked to carry at once.", {"hours": _LIMITS["hours"]})
    return _kind(kind, _SUMMARIES[kind], {"path": path, "limits": limits}, ("type", "path"))


def _hooks(names: Iterable[str]) -> Fragment:
    return shapes.mapping(
        "Changes to everything that passes this station, by direction.",
        {name: {"type": ["array", "string"], "description": HOOKS[name]} for name in names},
    )


def _kind(
    kind: str, summary: str, extra: dict[str, Fragment], required: tuple[str, ...]
) -> Fragment:
    kinds: Fragment = {"const": kind, "description": summary}
    return shapes.mapping(summary, {"type": kinds, **_COMMON, **extra}, required)


def _dicom() -> dict[str, Fragment]:
    limits = {
        "associations": shapes.whole("Associations open at once.", 1, 64, default=2),
        "batch": _BATCH,
        "max_pdu": shapes.size("Largest PDU we send.", default="256KiB"),
        **_LIMITS,
    }
    return {
        "ae_title": shapes.ae_title("Its AE title; case matters."),
        "host": shapes.text(
            "Name or address; names are resolved at every association.",
            title="a host name or an address",
            pattern=r"^[^\s/:@]+$|^[0-9A-Fa-f:.]+$",
            format="host",
            examples=["pacs.hospital-a.example", "10.1.1.21"],
        ),
        "port": shapes.whole(
            "Needed to send, to query and for the heartbeat.", 1, 65535, examples=[104, 11112]
        ),
        "tls": _TLS,
        "calling_ae_title": shapes.ae_title("AE title we call it with, instead of the router's."),
        "query_retrieve": _QUERY,
        "move_destinations": shapes.one_or_list(
            shapes.text(
                "A station's name.", title="the name of a station", examples=["reading-room"]
            ),
            "Stations it may have objects sent to by C-MOVE, besides itself.",
        ),
        "archive_server": _ARCHIVE,
        "iocm": shapes.switch(
            "Wants rejection notes (IOCM), behind the objects they name; other stations never get one."
        ),
        "cancel_unsent": _CANCEL_UNSENT,
        "duplicates": _DUPLICATES,
        "commit": {
            "enum": [False, True, "query"],
            "description": "Delivered is what it committed to keep: it is asked by Storage Commitment, "
            "or, with query, searched for it (C-FIND).",
            "default": False,
        },
        "original_patient_id": shapes.switch(
            "Gets Patient ID and Issuer of Patient ID as originally received."
        ),
        "character_set": _CHARACTER_SET,
        "issuer_of_patient_id": _ISSUER,
        "limits": shapes.mapping("What it may be asked to carry at once.", limits),
        "morph": _hooks(DIMSE_HOOKS),
    }


def _dicomweb() -> dict[str, Fragment]:
    limits = {
        "requests": shapes.whole("Requests open at once.", 1, 64, default=8),
        "batch": _BATCH,
        **_LIMITS,
    }
    auth = shapes.typed("How we authenticate.", AUTH_KINDS, "Kind of authentication.")
    return {
        "ae_title": shapes.ae_title(
            "AE title by which others search it through this router (C-FIND); with query_retrieve."
        ),
        "url": shapes.url("Base URL; /studies is added to it."),
        "profile": shapes.choice(
            "What kind of server it is: its limits and its habits.", PROFILES, default="generic"
        ),
        "auth": auth,
        "tls": _TLS,
        "allow_insecure_http": _INSECURE,
        "query_retrieve": _QUERY,
        "archive_server": _ARCHIVE,
        "iocm": shapes.switch(
            "Wants rejection notes (IOCM), behind the objects they name; other stations never get one."
        ),
        "cancel_unsent": _CANCEL_UNSENT,
        "delete_rejected": shapes.switch(
            "Before a rejection note for patient safety or a wrong worklist entry is stored there, what "
            "it names is deleted there, for good. For servers that do nothing about notes; with iocm."
        ),
        "duplicates": _DUPLICATES,
        "commit": shapes.switch("Delivered is what is found there by a search (QIDO-RS)."),
        "original_patient_id": shapes.switch(
            "Gets Patient ID and Issuer of Patient ID as originally received."
        ),
        "character_set": _CHARACTER_SET,
        "issuer_of_patient_id": _ISSUER,
        "limits": shapes.mapping("What it may be asked to carry at once.", limits),
        "morph": _hooks(HOOKS),
    }
