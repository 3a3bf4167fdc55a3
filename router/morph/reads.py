"""Which attributes the templates in parameters read, for analysis; faulty ones read nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.model.path import Path
from router.model.plug import PlugError
from router.morph.parameters import as_list, named
from router.morph.template import is_template, keywords


def template_reads(values: Iterable[Any]) -> frozenset[Path]:
    """The attributes named in the templates among these values and lists of values."""
    found: set[str] = set()
    for value in values:
        for item in as_list(value):
            if not isinstance(item, str) or not is_template(item):
                continue
            try:
                found.update(keywords(item))
            except PlugError:
                continue
    return named(found)
