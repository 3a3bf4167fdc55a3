"""An open store for each test, and the balance checked at its end."""

from __future__ import annotations

import pytest

from tests.support.store_making import open_store


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path)
    yield made
    assert made.ledger.account().differences == ()
    made.close()
