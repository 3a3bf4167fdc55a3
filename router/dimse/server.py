"""The provider's public face; see `router.dimse.handlers` for what it is given."""

from __future__ import annotations

from router.dimse.handlers import (
    Calling,
    Counts,
    Handlers,
    Observe,
    Rejection,
    StoreAnswer,
    StoreRequest,
)

__all__ = [
    "Calling",
    "Counts",
    "Handlers",
    "Observe",
    "Rejection",
    "StoreAnswer",
    "StoreRequest",
]
