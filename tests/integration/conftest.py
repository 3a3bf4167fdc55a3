"""What several integration tests share, and must be closed at their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.commitment import Archive, Modality


@pytest.fixture
def archives() -> Iterator[list[Archive]]:
    """What is put into it is closed at the end."""
    made: list[Archive] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def modalities() -> Iterator[list[Modality]]:
    """What is put into it is down at the end."""
    made: list[Modality] = []
    yield made
    for one in made:
        one.down()
