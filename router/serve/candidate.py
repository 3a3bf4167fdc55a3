"""A configuration that may become the running one: its texts, tried where a bomb harms nobody.

The texts are read once, kept as one file in the run folder (they hold no secrets), and compiled in
a process of its own with bounds on time and memory. Only what came through that is compiled again
by the process that acts on it, from the same file: nothing can change in between.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.config.folder import read_folder
from router.config.load import Loaded, load_texts
from router.config.problems import render_all
from router.config.report import Report
from router.model.plan import Plan
from router.plugs import all_plugs
from router.serve.places import Places

MAX_SECONDS: Final = 20
MAX_MEMORY_BYTES: Final = 2 * 1024**3
_NAME: Final = "candidate.json"
_MODULE: Final = "router.serve.compile_candidate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What trying came to: the plan's digest, or '' and the problems as people read them."""

    digest: str
    problems: str = ""


def read_texts(folder: Path) -> tuple[Mapping[str, str], str]:
    """The texts of a folder by relative path, and what was wrong with reading them."""
    report = Report()
    sources = read_folder(folder, report)
    texts = {source.relative: source.text for source in sources}
    if not report.has_errors:
        return texts, ""
    return texts, render_all(report.problems(), {one.shown: one.text for one in sources})


def named_files(plan: Plan) -> tuple[Path, ...]:
    """The files a plan names whose content matters: certificates, keys, authorities."""
    found = {path for one in plan.tls.values() for path in (one.cert, one.key, one.ca) if path}
    return tuple(sorted(found))


def keep(places: Places, folder: Path, texts: Mapping[str, str], request: str) -> Path:
    """Write the candidate and who asked for it, replaced as a whole, for its owner only.

    Raises OSError.
    """
    path = places.run / _NAME
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"folder": str(folder), "texts": dict(texts), "request": request}, file)
    fresh.replace(path)
    return path


def load_kept(path: Path) -> tuple[Loaded, str]:
    """Compile a candidate that was kept; and the request. Raises OSError, ValueError, KeyError."""
    value = json.loads(path.read_text(encoding="utf-8"))
    loaded = load_texts(value["texts"], Path(value["folder"]), all_plugs())
    return loaded, str(value["request"])


def load_candidate(places: Places) -> tuple[Loaded, str]:
    """As `load_kept`, of the one that was verified last."""
    return load_kept(places.run / _NAME)


def verify(path: Path) -> Verdict:
    """Compile a kept candidate in a bounded process of its own."""
    command = [sys.executable, "-m", _MODULE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for kind, most in (
            (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
            (resource.RLIMIT_CPU, MAX_SECONDS),
        ):
            resource.prlimit(process.pid, kind, (most, most))
        try:
            output, _ = process.communicate(timeout=MAX_SECONDS * 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            output = b""
    try:
        value = json.loads(output)
        return Verdict(str(value["digest"]), str(value["problems"]))
    except (ValueError, KeyError, TypeError):
        bounds = f"{MAX_SECONDS} s and {MAX_MEMORY_BYTES // 1024**2} MiB"
        return Verdict("", f"the configuration could not be compiled within {bounds}")
