"""The kinds of station, one file each: the keys of its YAML, and where its peer is.

Whatever reads a configuration needs these descriptions, and only who speaks with stations needs the
protocols behind them, so a peer's module is imported when the first peer is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def when_used(where: str) -> Callable[[Any, Any], Any]:
    """`make` of a StationKind: the class `module:name`, imported at the first call."""
    module, _, name = where.partition(":")

    def make(station: Any, context: Any) -> Any:
        return getattr(importlib.import_module(module), name)(station, context)

    return make
