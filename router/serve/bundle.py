"""The support bundle: what somebody from outside needs to help, in one archive, and no patient.

Each part is asked for by itself: one that cannot be had says why, and the others are there.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from router import __version__
from router.clock import Clock, iso_time
from router.config.compile import written
from router.config.folder import Source
from router.config.problems import as_json
from router.config.releases import Releases
from router.config.report import Report
from router.config.tree import merge
from router.errors import RouterError
from router.flow.told import account_json, station_states
from router.model.plan import Plan
from router.model.problem import Problem
from router.serve.deployment import deployment
from router.serve.device import device_json
from router.serve.doctor import examine
from router.serve.findings import findings_json
from router.serve.places import Places, is_running
from router.serve.redaction import Redaction, redaction, without_literals
from router.serve.reload_state import read_state
from router.serve.stores import open_ledger
from router.store.device import first_start, schema_version
from router.store.ledger import Ledger
from router.telemetry.metrics import merged, published_ages

LOG_LINES: Final = 2000
_SECONDS: Final = 30.0
# Where literals of attributes stand; tables are of patients' numbers as often as not.
_LITERALS: Final = ("rules", "morphs", "stations")


class _Absent(RouterError):
    """A part that cannot be had."""


def make_bundle(
    plan: Plan,
    folder: Path,
    sources: Iterable[Source],
    problems: Iterable[Problem],
    log_lines: Callable[[], Iterable[str]],
) -> dict[str, bytes]:
    """The files of the bundle by name; every text has gone through the redaction.

    `log_lines` gives the latest lines of the log.
    """
    places = Places(plan.router.data_dir)
    ledger, why = _opened(places)
    try:
        masks = redaction(plan, ledger)
        parts: Mapping[str, Callable[[], Any]] = {
            "about.json": lambda: _about(plan),
            "configuration.json": lambda: _configuration(sources),
            "problems.json": lambda: _problems(problems),
            "status.json": lambda: _status(plan, folder, places, ledger),
            "account.json": lambda: account_json(_there(ledger, why).account()),
            "ledger.json": lambda: _ledger(places, _there(ledger, why)),
            "doctor.json": lambda: findings_json(examine(plan)),
            "metrics.txt": lambda: merged(places.run).decode(),
            "log.jsonl": lambda: "\n".join(_line(line, masks) for line in log_lines()),
        }
        return {name: _part(part, masks) for name, part in parts.items()}
    finally:
        if ledger is not None:
            ledger.close()


def _part(part: Callable[[], Any], masks: Redaction) -> bytes:
    try:
        found = part()
    except (RouterError, OSError, ValueError) as error:
        found = {"missing": str(error)}
    if isinstance(found, str):
        return masks.text(found).encode()
    return json.dumps(masks.value(found), indent=2, ensure_ascii=False).encode()


def _opened(places: Places) -> tuple[Ledger | None, str]:
    """The ledger to read, or why there is none."""
    if not places.ledger.exists():
        return None, "no router has run on this data directory"
    try:
        return open_ledger(places, Clock(), f"cli-{os.getpid()}", read_only=True), ""
    except RouterError as error:
        return None, str(error)


def _there(ledger: Ledger | None, why: str) -> Ledger:
    if ledger is None:
        raise _Absent(why)
    return ledger


def _about(plan: Plan) -> dict[str, Any]:
    system = platform.uname()
    return {
        "made": iso_time(time.time()),
        "version": __version__,
        "plan": plan.digest,
        "revision": plan.revision or None,
        "python": sys.version,
        "system": {"name": system.system, "release": system.release, "machine": system.machine},
        "distribution": _distribution(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load": os.getloadavg(),
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _configuration(sources: Iterable[Source]) -> dict[str, Any]:
    """As it is in effect: the sections of all files together. Secrets are references in it."""
    document = written(merge(sources, Report()))
    tables = document.get("tables")
    if isinstance(tables, dict):
        document["tables"] = {
            name: f"{len(one) if isinstance(one, dict | list) else 1} entries"
            for name, one in tables.items()
        }
    return {
        section: without_literals(value) if section in _LITERALS else value
        for section, value in document.items()
    }


def _problems(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Where they are and what kind; their words quote what is written there."""
    wanted = ("code", "severity", "file", "line", "column", "path")
    return [{name: as_json(one)[name] for name in wanted} for one in problems]


def _status(plan: Plan, folder: Path, places: Places, ledger: Ledger | None) -> dict[str, Any]:
    runs = is_running(places)
    reload = read_state(places) if runs else None
    return {
        "device": device_json(plan, first_start(places.ledger) if ledger else None),
        "running": runs,
        "roles": published_ages(places.run) if runs else {},
        "reload": asdict(reload) if reload else None,
        "deployment": deployment(Releases(folder), plan),
        "stations": station_states(ledger, plan.stations),
    }


def _ledger(places: Places, ledger: Ledger) -> dict[str, Any]:
    return {
        "schema": schema_version(places.ledger),
        "size_bytes": places.ledger.stat().st_size,
        "backlog": asdict(ledger.backlog()),
    }


def _line(line: str, masks: Redaction) -> str:
    """A line of the log; the fields of one in JSON are masked by their names too."""
    try:
        fields = json.loads(line)
    except ValueError:
        return masks.text(line)
    return json.dumps(masks.value(fields), ensure_ascii=False)


def lines_of_file(path: Path) -> list[str]:
    """The latest lines of a log that is kept in a file. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, LOG_LINES)]


def lines_of_service(name: str) -> list[str]:
    """The latest lines of a service in the journal of systemd. Raises OSError, ValueError."""
    words = ["journalctl", "--unit", name, "--lines", str(LOG_LINES), "--output=cat", "--no-pager"]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"journalctl says nothing within {_SECONDS:.0f} s") from error
    if done.returncode:
        raise ValueError(f"journalctl: {done.stderr.strip()}; name the file with --log FILE")
    return done.stdout.splitlines()


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """One gzipped tar for its owner only; never over what is there. Raises OSError."""
    stem = path.name.partition(".")[0]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with (
        open(descriptor, "wb") as target,
        gzip.GzipFile(stem, "wb", fileobj=target) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            archive.addfile(member, io.BytesIO(content))
