"""What the analysis costs: about as much for each rule of a large site as for one of a small one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from tests.bench import large_configuration

FEW, MANY = 30, 240
# Eight times the rules and the stations: 8 where cost is linear, 12 where each rule asks each station.
MOST_GROWTH = 9


def test_the_cost_of_check_does_not_grow_with_rules_times_stations(tmp_path: Path) -> None:
    few, many = (_calls(tmp_path / str(number), number) for number in (FEW, MANY))

    assert many / few <= MOST_GROWTH


def _calls(folder: Path, stations: int) -> int:
    large_configuration.write(folder, stations)
    large_configuration.check(folder)  # fills what is kept for every configuration
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        large_configuration.check(folder)
    finally:
        sys.setprofile(None)
    return calls
