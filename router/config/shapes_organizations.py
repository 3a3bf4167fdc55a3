"""Shape of an organization: its parent, and what its stations have where they say nothing."""

from __future__ import annotations

from typing import Any, Final

from router.config import shapes, shapes_stations

INHERITED: Final = (
    "calling_ae_title",
    "tls",
    "active",
    "send",
    "query_retrieve",
    "move_destinations",
    "archive_server",
    "iocm",
    "cancel_unsent",
    "original_patient_id",
    "external",
    "transfer_syntax",
    "character_set",
    "issuer_of_patient_id",
    "heartbeat",
    "retry",
    "limits",
    "duplicates",
)
"""What many stations can have alike; what a station is and where it is, each says itself."""


def _inherited() -> dict[str, shapes.Fragment]:
    """The shapes of these keys, of whichever kind of station knows them."""
    kinds = shapes_stations.stations()
    found: dict[str, Any] = {}
    for key in INHERITED:
        known = [kind["properties"][key] for kind in kinds.values() if key in kind["properties"]]
        found[key] = known[0]
        if "properties" in known[0]:
            inner = {name: one for each in known for name, one in each["properties"].items()}
            found[key] = {**known[0], "properties": inner}
    return found


ORGANIZATION: Final = shapes.mapping(
    "Whose stations some are, and what they have in common.",
    {
        "description": shapes.text("For people.", examples=["University hospital, all sites"]),
        "parent": shapes.text(
            "The organization it belongs to: its stations have that one's defaults too, and whoever "
            "may see that one sees them.",
            title="the name of an organization",
            examples=["Hospital A"],
        ),
        "defaults": shapes.mapping(
            "What its stations have, and those of the organizations below it, unless they say "
            "otherwise.",
            {"station": shapes.mapping("For every station.", _inherited())},
        ),
    },
)
