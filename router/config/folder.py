"""Which files are the configuration, and their texts.

Every `*.yaml` below the folder in path order, `*.test.yaml` left out, hidden names left out (git,
editors, the `..data` of a mounted Kubernetes volume). A link that leads out of the folder is refused;
linked folders inside it are not entered twice. At most 10,000 files and 16 MiB. Only regular files
are opened, each read once. Nothing raises: what is wrong goes to the report.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.config.report import Report
from router.config.text import MAX_FILE_BYTES, decode
from router.model.problem import Place

MAX_FILES: Final = 10_000
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its path below the folder with '/', its name in messages, its text."""

    relative: str
    shown: str
    text: str


def read_folder(folder: Path, report: Report) -> tuple[Source, ...]:
    """The sources, in path order; fewer, with problems (DR0xx, DR401), where some cannot be read."""
    root = Path(os.path.realpath(folder))
    shown_root = shown_folder(folder)
    if not root.is_dir():
        report.error("DR401", "no such configuration folder", Place(shown_root, 1, 1))
        return ()
    sources: list[Source] = []
    total = 0
    for relative in sorted(_names(root, shown_root, report), key=lambda name: name.split("/")):
        shown = f"{shown_root}/{relative}" if shown_root != "." else relative
        data = _read(root, relative, shown, report)
        if data is None:
            continue
        total += len(data)
        if total > MAX_TOTAL_BYTES or len(sources) >= MAX_FILES:
            limit = f"{MAX_FILES} files or {MAX_TOTAL_BYTES // 1024**2} MiB"
            report.error("DR004", f"the folder holds more than {limit}", Place(shown, 1, 1))
            break
        text = decode(data, shown, report)
        if text is not None:
            sources.append(Source(relative, shown, text))
    if not sources and not report.has_errors:
        hint = "`dicom-router init DIR` writes one"
        report.error("DR401", "no *.yaml file in this folder", Place(shown_root, 1, 1), hint=hint)
    return tuple(sources)


def shown_folder(folder: Path) -> str:
    """The folder as messages name it: relative to the working directory, else its own name."""
    absolute = Path(os.path.abspath(folder))
    try:
        return absolute.relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return absolute.name or absolute.as_posix()


def _names(root: Path, shown_root: str, report: Report) -> Iterator[str]:
    """Paths of the files below the root, relative, with '/'."""
    found = 0
    for where, folders, files in os.walk(root, followlinks=False):
        for name in folders:
            path = os.path.join(where, name)
            if not name.startswith(".") and os.path.islink(path):
                _stays_inside(root, path, shown_root, report)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            relative = Path(where, name).relative_to(root).as_posix()
            shown = f"{shown_root}/{relative}" if shown_root != "." else relative
            if name.startswith("."):
                continue
            if name.endswith(".yml"):
                hint = f"name it {name[:-4]}.yaml"
                report.warn("DR320", f"'{name}' is not read", Place(shown, 1, 1), hint=hint)
            if not name.endswith(".yaml") or name.endswith(".test.yaml"):
                continue
            found += 1
            if found > MAX_FILES + 1:
                return
            yield relative


def _stays_inside(root: Path, path: str, shown_root: str, report: Report) -> bool:
    target = os.path.realpath(path)
    if target == str(root) or target.startswith(f"{root}{os.sep}"):
        return True
    shown = f"{shown_root}/{Path(path).relative_to(root).as_posix()}"
    report.error("DR005", "this link leads out of the configuration folder", Place(shown, 1, 1))
    return False


def _read(root: Path, relative: str, shown: str, report: Report) -> bytes | None:
    path = os.path.join(root, relative)
    if os.path.islink(path) and not _stays_inside(
        root, path, shown[: -len(relative) - 1] or ".", report
    ):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                report.error("DR401", "this is no regular file", Place(shown, 1, 1))
                return None
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        words = (error.strerror or "error").lower()
        report.error("DR401", f"the file cannot be read: {words}", Place(shown, 1, 1))
        return None
