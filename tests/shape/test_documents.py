"""Generated documents say what the source says now."""

from __future__ import annotations

from tests.support.write_docs import CONFIGURATION, CONFORMANCE, configuration, conformance


def test_the_reference_of_the_configuration_is_fresh() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8") if CONFIGURATION.exists() else ""
    assert text == configuration(), "docs/CONFIGURATION.md is stale: run `make docs`"


def test_the_conformance_table_is_fresh() -> None:
    text = CONFORMANCE.read_text(encoding="utf-8") if CONFORMANCE.exists() else ""
    assert text == conformance(), "docs/CONFORMANCE.md is stale: run `make docs`"
