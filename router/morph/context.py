"""What a step may know of an instance besides its data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from router.model.instance import Source

# For whoever only shows what a recipe does: the installation's own key never leaves its folder.
EXAMPLE_KEY: Final = b"example"


@dataclass(frozen=True, slots=True)
class MorphContext:
    """Who sent the instance and when, and who we are; fixed, so that a retry gives equal bytes.

    `mapping_key` is what keyed steps (remap_uids, shift_dates, hash) map under; it never leaves.
    """

    source: Source
    received_at: float
    router_name: str = ""
    organization: str = ""
    mapping_key: bytes = field(default=b"", repr=False)
