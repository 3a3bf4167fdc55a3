"""`python -m router.serve.compile_candidate FILE`: compile a kept candidate and say what came of it.

Started by router.serve.candidate, which bounds its time and memory. Prints one JSON object: digest
('' where there is no plan) and problems, as people read them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from router.serve.candidate import load_kept


def main(path: str) -> None:
    """Compile and print."""
    loaded, _ = load_kept(Path(path))
    digest = loaded.plan.digest if loaded.plan is not None else ""
    problems = "" if loaded.plan is not None else loaded.render()
    sys.stdout.write(json.dumps({"digest": digest, "problems": problems}))


if __name__ == "__main__":
    main(sys.argv[1])
