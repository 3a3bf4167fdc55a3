"""dicomweb-client and dcmjs-dimse, which JavaScript viewers and gateways are made of, run by Node.js.

Installed by `.ci/peers` into `.venv/node` (npm, fixed versions).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.support.process import PROJECT, run

FOLDER = PROJECT / ".venv" / "node" / "node_modules"
PACKAGES = ("dicomweb-client", "dcmjs-dimse", "xhr2")
_SCRIPTS = Path(__file__).parent / "javascript"


def is_installed() -> bool:
    """Whether the packages and Node.js are there."""
    return shutil.which("node") is not None and all((FOLDER / name).is_dir() for name in PACKAGES)


def told(script: str, *arguments: object) -> dict[str, Any]:
    """The JSON a script prints; what it says of its own failure is raised."""
    done = run(
        ["node", str(_SCRIPTS / script), *map(str, arguments)],
        env={"NODE_FOLDER": str(FOLDER), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
