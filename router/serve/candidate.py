"""A configuration that may become the running one: its texts, tried where a bomb harms nobody.

The texts are read once, kept as one file in the run folder (they hold no secrets), and compiled in
a process of its own with bounds on time and memory. Only what came through that is compiled again
by the process that acts on it, from the same file: nothing can change in between.
"""

from __future__ import annotations

import json
import os
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
from router.serve.bounded import Bounded, Bounds
from router.serve.places import Places

BOUNDS: Final = Bounds(seconds=20, processor_seconds=10)
_NAME: Final = "candidate.json"


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


def keep(places: Places, folder: Path, texts: Mapping[str, str], request: str) -> None:
    """Write the candidate and who asked for it, replaced as a whole, for its owner only.

    Raises OSError.
    """
    path = places.run / _NAME
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"folder": str(folder), "texts": dict(texts), "request": request}, file)
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was kept: a folder's texts, and the request they were read for ('' for none)."""

    folder: Path
    texts: Mapping[str, str]
    request: str

    @classmethod
    def kept(cls, places: Places) -> Candidate:
        """The one that was kept last. Raises OSError, ValueError, KeyError."""
        value = json.loads((places.run / _NAME).read_text(encoding="utf-8"))
        return cls(Path(value["folder"]), value["texts"], str(value["request"]))

    def compiled(self) -> Loaded:
        """The plan of the texts, or their problems."""
        return load_texts(self.texts, self.folder, all_plugs())


class Trial:
    """A candidate that is being compiled in a bounded process."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self._work = Bounded(lambda: _tried(candidate), BOUNDS)

    def fileno(self) -> int:
        """Readable when there is something new."""
        return self._work.fileno()

    def verdict(self) -> Verdict | None:
        """What it came to; None while it goes on."""
        if not self._work.has_ended():
            return None
        try:
            value = self._work.came_to()
            return Verdict(str(value["digest"]), str(value["problems"]))
        except (KeyError, TypeError):
            return Verdict("", f"the configuration could not be compiled within {BOUNDS}")


def _tried(candidate: Candidate) -> dict[str, str]:
    loaded = candidate.compiled()
    if loaded.plan is None:
        return {"digest": "", "problems": loaded.render()}
    return {"digest": loaded.plan.digest, "problems": ""}
