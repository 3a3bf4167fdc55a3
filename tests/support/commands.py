"""Verbs of the command line, each in a process of its own, without paying for the imports each time.

A helper process imports the product once and forks for every command; what runs is the product's
entry point with its own descriptors, environment, working directory and exit code. A command is
waited for; `run` stays, in a session of its own, and its exit code comes as a file. The helper ends
with its standard input, so it cannot outlive the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.support.process import PROJECT, Child, environment


class Commands:
    """The helper process; `run` is one command, `begin` one that stays."""

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
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            code = self._ask(words, out, err, cwd or PROJECT)
            return code, out.read_text(errors="replace"), err.read_text(errors="replace")

    def begin(
        self, words: Sequence[str], log: Path, errors: Path, cwd: Path, env: Mapping[str, str]
    ) -> Child:
        """Start `dicom-router WORDS` and leave it running, its output appended to two files."""
        log.touch()  # whoever waits for its words looks at once
        errors.touch()
        ended = log.with_suffix(".ended")
        return _Begun(self._ask(words, log, errors, cwd, env=dict(env), ended=str(ended)), ended)

    def _ask(self, words: Sequence[str], out: Path, err: Path, cwd: Path, **more: object) -> int:
        """What the helper answers: the exit code, or the process that stays."""
        request = {"words": words, "out": str(out), "err": str(err), "cwd": str(cwd), **more}
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        with self._lock:
            self._helper.stdin.write(json.dumps(request) + "\n")
            self._helper.stdin.flush()
            return int(self._helper.stdout.readline())


class _Begun:
    """A process of the helper: it waits for the end and writes the exit code down."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self._ended = ended

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return int(self._ended.read_text()) if self._ended.exists() else None

    def wait(self, timeout: float) -> int:
        """The exit code; raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("dicom-router", timeout)
            time.sleep(0.01)
        return code


@cache
def _commands() -> Commands:
    return Commands()


@cache
def _routers() -> Commands:
    """A helper of its own: a router may be started while a command runs."""
    return Commands()


def begin_router(
    command: Sequence[str], log: Path, errors: Path, cwd: Path, env: Mapping[str, str]
) -> Child:
    """Start `python -m router WORDS` by a helper; takes what `tests.support.process.Begin` says."""
    assert list(command[1:3]) == ["-m", "router"]
    return _routers().begin(command[3:], log, errors, cwd, env)


def dicom_router(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a verb to its end: exit code, standard output, standard error."""
    return _commands().run(*words, cwd=cwd)


def _serve() -> None:
    """The helper: one line of JSON in, one exit code out, until the input ends."""
    from router.cli import main

    for where in sorted(main.VERBS.values()):
        importlib.import_module(where.partition(":")[0])
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
        if "ended" in request:
            threading.Thread(target=_tell_end, args=(pid, request["ended"]), daemon=True).start()
            print(pid, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _tell_end(pid: int, ended: str) -> None:
    """Wait for the process; its exit code as a file, whole or not there."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    Path(ended + ".new").write_text(str(code))
    os.replace(ended + ".new", ended)


def _become(request: Mapping[str, object]) -> None:
    """In the child: be the command, and end with its exit code."""
    from router.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(str(request[name]), flags, 0o600), number)
    os.chdir(str(request["cwd"]))
    if "ended" in request:
        os.setsid()
    if "env" in request:
        os.environ.clear()
        os.environ.update(request["env"])  # type: ignore[call-overload]
    words = request["words"]
    assert isinstance(words, list)
    sys.argv = ["dicom-router", *words]
    code = 70
    try:
        main.entry()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 70
    except BaseException:  # as the interpreter does with what nobody caught
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
