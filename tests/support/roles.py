"""What a running router's log says: its lines, and which process has which role."""

from __future__ import annotations

import json

from tests.support.router_process import Router


def log_of(edge: Router) -> list[dict[str, object]]:
    """The log entries of the process that runs now."""
    assert edge.process is not None
    lines = edge.process.errors.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def role_pids(edge: Router) -> dict[str, int]:
    """Role → process id of those that have spoken: `receive` of associations, `deliver` of stations."""
    found = {line["role"]: line["pid"] for line in log_of(edge) if "role" in line and "pid" in line}
    return {str(role): int(str(pid)) for role, pid in found.items()}
