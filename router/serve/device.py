"""The device: this installation as it is told to whoever looks after many of them."""

from __future__ import annotations

import re
from typing import Any, Final

from router import __version__
from router.clock import iso_time
from router.model.plan import Plan

DOMAIN: Final = "omegaailink.com"
DICOMWEB: Final = frozenset({"dicomweb", "cache"})
_PREFIX: Final = "OMEGAAILINK"
_OTHER: Final = re.compile(r"[^A-Za-z0-9]")
_LABEL_CHARACTERS: Final = 63


def host_name(link_id: int, organization: str, domain: str) -> str:
    """The name viewers look for: every character of the organization that no host name has is `-`.

    Raises ValueError where it would be longer than a label of DNS may be (RFC 1035 2.3.4).
    """
    label = f"{_PREFIX}-{link_id}-{_OTHER.sub('-', organization)}"
    if len(label) > _LABEL_CHARACTERS:
        raise ValueError(f"{label} has {len(label)} characters, a host name may have 63")
    return f"{label}.{domain}"


def device_json(plan: Plan, first_started_at: float | None) -> dict[str, Any]:
    """Who this is, since when, and where it is reached by DICOM and by DICOMweb.

    The link id and the AE title are its identity towards others; the type is always the same.
    """
    settings = plan.router
    return {
        "type": "dicom-router",
        "id": settings.id,
        "name": settings.name,
        "organization": settings.organization,
        "ae_title": settings.ae_title,
        "version": __version__,
        "first_start": iso_time(first_started_at),
        "dimse": [
            {"listener": one.name, "bind": one.host, "port": one.port, "tls": one.tls is not None,
             "ae_titles": list(one.ae_titles)}
            for one in plan.listeners.values()
            if one.kind == "dimse"
        ],
        "dicomweb": [
            {"listener": one.name, "bind": one.host, "port": one.port, "tls": one.tls is not None,
             "serve": [name for name in one.serve if name in DICOMWEB]}
            for one in plan.listeners.values()
            if not DICOMWEB.isdisjoint(one.serve)
        ],
    }  # fmt: skip
