"""Generated documents say what the source says now."""

from __future__ import annotations

from tests.support.write_docs import CONFORMANCE, conformance


def test_the_conformance_table_is_fresh() -> None:
    text = CONFORMANCE.read_text(encoding="utf-8") if CONFORMANCE.exists() else ""
    assert text == conformance(), "docs/CONFORMANCE.md is stale: run `make docs`"
