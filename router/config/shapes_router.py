"""Shapes of everything that is about ourselves: router, listeners, tls, defaults, cache."""

from __future__ import annotations

from typing import Final

from router.config import shapes
from router.config.shapes import Fragment

VERSION: Final[Fragment] = {
    "const": 1,
    "description": "The version of this language.",
    "default": 1,
}

ROUTER: Final = shapes.mapping(
    "Who this router is and where it keeps things.",
    {
        "name": shapes.text(
            "Appears in the log, the pages and the metrics.", examples=["hospital-a-edge"]
        ),
        "id": shapes.whole(
            "The link id; part of the cache's host name.", 0, 2**31 - 1, examples=[42]
        ),
        "organization": shapes.text(
            "The organization this router belongs to.", examples=["Hospital A"]
        ),
        "ae_title": shapes.ae_title("Our AE title, called by peers and shown to them."),
        "data_dir": shapes.path(
            "Folder of journal and ledger; relative paths start at the configuration folder.",
            examples=["/var/lib/dicom-router"],
        ),
        "unmatched": shapes.choice(
            "What happens to an instance that no rule routes: keep holds it, visible and re-routable.",
            ("keep", "discard", "refuse"),
            default="keep",
        ),
        "mapping_key": shapes.secret(
            "What UIDs, dates and tokens are mapped under, for nodes that are to map alike; made in "
            "data_dir when absent."
        ),
    },
    ("name", "ae_title", "data_dir"),
)

_BIND: Final = shapes.text(
    "Address and port to listen on. 0.0.0.0 is every IPv4 address of the machine.",
    title="an address and a port in quotes",
    pattern=shapes.BIND_PATTERN,
    format="bind",
    examples=["0.0.0.0:11112", "127.0.0.1:8080", "[::]:11112"],
)
_TLS_NAME: Final = shapes.text(
    "Name of a profile under `tls:`.", title="the name of a TLS profile", examples=["hospital"]
)
SERVICES: Final = ("dicomweb", "cache", "ui", "api", "metrics")
_SERVE: Final[Fragment] = {
    "type": "array",
    "title": "a list of services",
    "description": "What this address offers.",
    "minItems": 1,
    "uniqueItems": True,
    "items": shapes.choice("A service.", SERVICES),
}
_ORIGINS: Final[Fragment] = {
    "type": "array",
    "title": "a list of origins",
    "description": "Pages of these origins, such as a viewer's, may read answers; none when absent.",
    "uniqueItems": True,
    "items": shapes.text(
        "Scheme, host and port, as a browser names them.",
        title="an origin such as https://viewer.hospital-a.example",
        pattern=r"^https?://[A-Za-z0-9.\[\]:-]+$",
        examples=["https://viewer.hospital-a.example"],
    ),
}


def _listener(kind: str, extra: dict[str, Fragment], required: tuple[str, ...]) -> Fragment:
    kinds: Fragment = {"const": kind, "description": LISTENER_KINDS[kind]}
    properties = {"type": kinds, "bind": _BIND, **extra}
    return shapes.mapping(LISTENER_KINDS[kind], properties, ("type", "bind", *required))


LISTENER_KINDS: Final = {
    "dimse": "Receives over DICOM's own protocol.",
    "http": "Pages, API and metrics without TLS; loopback only.",
    "https": "DICOMweb, cache, pages and API over TLS.",
}
LISTENERS: Final = {
    "dimse": _listener(
        "dimse",
        {
            "tls": _TLS_NAME,
            "accept": shapes.choice(
                "Who may associate: stations by AE title and host, or anyone.",
                ("known_stations", "any"),
                default="known_stations",
            ),
            "networks": shapes.choice(
                "Where calls without TLS may come from, besides stations whose host is written: private "
                "networks, or any.",
                ("private", "any"),
                default="private",
            ),
            "ae_titles": shapes.one_or_list(
                shapes.ae_title("A called AE title."),
                "AE titles this address answers to; that of the router when absent.",
            ),
            "limits": shapes.mapping(
                "Bounds against peers that misbehave.",
                {
                    "associations": shapes.whole("Open at once.", 1, 4096, default=256),
                    "associations_per_address": shapes.whole(
                        "Open at once from one address.", 1, 4096, default=32
                    ),
                    "associations_per_ae_title": shapes.whole(
                        "Open at once from one calling AE title.", 1, 4096, default=16
                    ),
                    "max_pdu": shapes.size("Largest PDU we announce.", default="256KiB"),
                    "idle": shapes.duration("Silence that ends an association.", default="60s"),
                    "life": shapes.duration("Longest life of an association.", default="4h"),
                },
            ),
        },
        (),
    ),
    "http": _listener("http", {"serve": _SERVE}, ("serve",)),
    "https": _listener(
        "https", {"tls": _TLS_NAME, "serve": _SERVE, "origins": _ORIGINS}, ("tls", "serve")
    ),
}

TLS: Final = shapes.mapping(
    "A TLS profile: certificates for listeners and stations that name it. TLS 1.2 is the minimum.",
    {
        "cert": shapes.path("Certificate chain, PEM.", examples=["tls/edge.pem"]),
        "key": shapes.path("Private key of the certificate, PEM.", examples=["tls/edge.key"]),
        "ca": shapes.path(
            "Certificate authorities that are trusted, PEM.", examples=["tls/hospital-ca.pem"]
        ),
        "client_auth": shapes.choice(
            "Whether a listener asks its peers for a certificate.",
            ("none", "optional", "required"),
            default="none",
        ),
    },
)

HEARTBEAT: Final = shapes.mapping(
    "Whether and how often a station is asked if it is there.",
    {
        "enabled": shapes.switch("Probe this station.", default=True),
        "every": shapes.duration("Time between probes.", default="10m"),
        "timeout": shapes.duration("Time a probe may take.", default="10s"),
    },
)

RETRY: Final = shapes.mapping(
    "When a failed delivery is tried again: first × factorⁿ, at most max, until give_up.",
    {
        "first": shapes.duration("Wait before the second try.", default="30s"),
        "factor": {
            "type": "number",
            "title": "a number from 1 to 10",
            "description": "Growth of the wait.",
            "minimum": 1,
            "maximum": 10,
            "default": 2,
        },
        "max": shapes.duration("Longest wait.", default="30m"),
        "give_up": shapes.duration("Age at which a delivery is dead.", default="7d"),
    },
)

DEFAULTS: Final = shapes.mapping(
    "What stations say nothing about.",
    {
        "station": shapes.mapping("For every station.", {"heartbeat": HEARTBEAT}),
        "retry": RETRY,
    },
)

CACHE: Final = shapes.mapping(
    "How much is kept of what was delivered. What a delivery still needs is never evicted.",
    {
        "max_size": shapes.size("Most bytes of the journal.", default="500GB"),
        "keep": shapes.duration("Longest time something is kept.", default="30d"),
        "key": shapes.secret("Key that seals the records; made in data_dir when absent."),
    },
)
