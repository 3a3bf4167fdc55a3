"""Verbs of the command line, each in a process of its own, without paying for the imports each time.

A helper process imports the product once and forks for every command; what runs is the product's
entry point with its own descriptors, working directory and exit code. The helper ends with its
standard input, so it cannot outlive the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.support.process import PROJECT, environment


class Commands:
    """The helper process; `run` is one command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env=environment(),
            text=True,
        )

    def run(self, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `dicom-router WORDS`."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        with self._lock, tempfile.TemporaryDirectory() as folder:
            request = {"words": words, "cwd": str(cwd or PROJECT), "folder": folder}
            self._helper.stdin.write(json.dumps(request) + "\n")
            self._helper.stdin.flush()
            code = int(self._helper.stdout.readline())
            output, errors = (
                (Path(folder) / name).read_text(errors="replace") for name in ("out", "err")
            )
        return code, output, errors


@cache
def _commands() -> Commands:
    return Commands()


def dicom_router(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a verb to its end: exit code, standard output, standard error."""
    return _commands().run(*words, cwd=cwd)


def _serve() -> None:
    """The helper: one line of JSON in, one exit code out, until the input ends."""
    from router.cli import main

    for where in sorted(main.VERBS.values()):
        importlib.import_module(where.partition(":")[0])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(request: Mapping[str, object]) -> None:
    """In the child: be the command, and end with its exit code."""
    from router.cli import main

    folder = Path(str(request["folder"]))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        target = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, number)
    os.chdir(str(request["cwd"]))
    words = request["words"]
    assert isinstance(words, list)
    sys.argv = ["dicom-router", *words]
    code = 70
    try:
        main.entry()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
