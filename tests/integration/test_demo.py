"""The demo tells its story to the end, loses nothing and leaves nothing behind."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.support.process import run


def test_demo_once_ends_balanced_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run(
        [sys.executable, "-m", "router", "demo", "--once"],
        env={"TMPDIR": str(temporary)},
        cwd=tmp_path,
        timeout_seconds=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.rstrip().splitlines()[-1]
    told = re.search(
        r"(\d+) images received, (\d+) delivered, (\d+) held, 0 lost\.   balanced$", last
    )
    assert told, last
    received, delivered, held = map(int, told.groups())
    assert received > 0
    # The archive gets everything, the cloud the chest, the night reading the brain, later.
    assert delivered + held == 2 * received
    assert held > 0
    assert "error DR210" in done.stdout
    assert "\x1b" not in done.stdout
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary], "nothing is written where it was called"
