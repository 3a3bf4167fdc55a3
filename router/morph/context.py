"""What a step may know of an instance besides its data set."""

from __future__ import annotations

from dataclasses import dataclass

from router.model.instance import Source


@dataclass(frozen=True, slots=True)
class MorphContext:
    """Who sent the instance and when, and who we are; fixed, so that a retry gives equal bytes."""

    source: Source
    received_at: float
    router_name: str = ""
    organization: str = ""
