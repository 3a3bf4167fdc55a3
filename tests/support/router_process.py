"""The product as a process, driven only by what its users have: files, commands, signals, ports."""

from __future__ import annotations

import json
import signal
import string
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.commands import begin_router, dicom_router
from tests.support.process import Process, begin_program, free_port, run, wait_until

_MODULE = (sys.executable, "-m", "router")

# One scanner may send; everything goes to one archive. `$name` is replaced; more text may follow.
DEFAULT_SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $destination, send: true}
rules:
  - {name: everything to the archive, route: [pacs]}
"""


class Router:
    """One configured router: a folder of text, a data directory, and (between start and stop) a
    process group that is gone with the test."""

    is_cold = False
    """Whether `run` is to pay for its imports, as its users do."""

    def __init__(
        self, work: Path, site: str = DEFAULT_SITE, *, data_dir: Path | None = None, **names: object
    ) -> None:
        self.work = work
        self.folder = work / "config"
        self.data_dir = data_dir or work / "data"
        self.port = free_port()
        self.ae_title = "EDGE_A"
        self.process: Process | None = None
        self.expect_balanced = True
        self._starts = 0
        self.folder.mkdir(parents=True)
        self.write(site, **names)

    def write(self, site: str, name: str = "site.yaml", **names: object) -> Path:
        """Write a file of the configuration; `$port`, `$data_dir` and `names` are filled in."""
        known: Mapping[str, object] = {"port": self.port, "data_dir": self.data_dir, **names}
        path = self.folder / name
        path.write_text(string.Template(site).substitute(known), encoding="utf-8")
        return path

    def launch(self, env: Mapping[str, str] | None = None) -> Process:
        """Start `run` and wait for nothing."""
        assert self.process is None, "it runs already"
        self._starts += 1
        log = self.work / f"router-{self._starts}.log"
        command = [*_MODULE, "run", "--config", str(self.folder)]
        # What only the start of an interpreter or of a program reads needs one that starts.
        is_cold = self.is_cold or any(key.startswith(("PYTHON", "LD_")) for key in env or ())
        begin = begin_program if is_cold else begin_router
        self.process = Process(command, log, env=env, begin=begin)
        return self.process

    def start(self, timeout_seconds: float = 30.0, env: Mapping[str, str] | None = None) -> float:
        """Start `run` and wait for its `ready` line; the seconds that took."""
        began = time.monotonic()
        process = self.launch(env)

        def is_ready() -> bool:
            if "ready" in process.log.read_text(errors="replace").split("\n"):
                return True
            if process.poll() is not None:
                raise AssertionError(f"ended with {process.poll()}\n{process.tail()}")
            return False

        wait_until(is_ready, timeout_seconds, what="the line `ready`")
        return time.monotonic() - began

    def stop(self, timeout_seconds: float = 40.0) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        assert self.process is not None, "it does not run"
        self.process.signal(signal.SIGTERM)
        code = self.process.wait(timeout_seconds)
        self.process.kill()
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL the whole group at once, as the kernel does when memory ends."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def restart(self) -> float:
        """Stop in order and start again; the seconds until `ready`."""
        self.stop()
        return self.start()

    def command(self, *arguments: str, timeout_seconds: float = 60.0) -> tuple[int, str, str]:
        """Run a verb on this configuration: exit code, standard output, standard error."""
        verb, *rest = arguments
        if verb != "run":
            return dicom_router(verb, "--config", str(self.folder), *rest)
        done = run(
            [*_MODULE, verb, "--config", str(self.folder), *rest], timeout_seconds=timeout_seconds
        )
        return done.returncode, done.stdout, done.stderr

    def account(self) -> dict[str, object]:
        """`account --format json`: where every instance and delivery is."""
        return self._json("account", "--format", "json")

    def tasks(self) -> object:
        """What is sent, of `tasks list --format json`."""
        return self._json("tasks", "list", "--direction", "send", "--format", "json")

    def _json(self, verb: str, *rest: str) -> dict[str, object]:
        code, output, errors = dicom_router(verb, *rest, "--config", str(self.folder))
        try:
            answer = json.loads(output)
        except ValueError:
            raise AssertionError(f"{verb} {rest} exited with {code}\n{output}\n{errors}") from None
        assert isinstance(answer, dict | list)
        return answer  # type: ignore[return-value]

    def deliveries(self) -> dict[str, int]:
        """The counts of deliveries by state, from `account`."""
        part = self.account()["deliveries"]
        assert isinstance(part, dict)
        return {key: int(value) for key, value in part.items()}

    def instances(self) -> dict[str, int]:
        """The counts of instances, from `account`."""
        part = self.account()["instances"]
        assert isinstance(part, dict)
        return {key: int(value) for key, value in part.items()}

    def open_deliveries(self) -> int:
        """How many deliveries are owed now: queued, being sent, or not yet committed."""
        counts = self.deliveries()
        return sum(counts.get(state, 0) for state in ("queued", "sending", "sent", "held"))

    def wait_until_drained(self, timeout_seconds: float = 60.0) -> None:
        """Wait until nothing is owed any more."""
        self._poll(lambda: self.open_deliveries() == 0, timeout_seconds)

    def _poll(self, condition: Callable[[], bool], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not drained: {self.account()}\n{self.tail()}")
            time.sleep(0.2)

    def assert_balanced(self) -> None:
        """Promise P12: every accepted instance is in exactly one place."""
        account = self.account()
        assert account["balanced"] is True, f"the account does not balance: {account}"

    def tail(self) -> str:
        """The end of the log of the last process."""
        return self.process.tail() if self.process is not None else ""
