"""Writing into a configuration folder: whole files or nothing, or a patch where it is not ours.

A folder that is reached through a link is a release: what is written there would be gone with the
next one. There the change is shown as a patch for the repository it came from.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def is_release(folder: Path) -> bool:
    """Whether the folder is not to be written into: behind a link, or read only."""
    real = os.path.realpath(folder)
    return real != os.path.abspath(folder) or not os.access(real, os.W_OK)


def patch(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The change of texts by relative path, as `git apply` takes it in the configuration folder."""
    parts: list[str] = []
    for path, text in after.items():
        old = before.get(path)
        lines = difflib.unified_diff(
            (old or "").splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"a/{path}" if old is not None else "/dev/null",
            f"b/{path}",
        )
        for line in lines:
            whole = line.endswith("\n")
            parts.append(line if whole else f"{line}\n\\ No newline at end of file\n")
    return "".join(parts)


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files by relative path; folders are made where they are missing."""
    root = Path(os.path.realpath(folder))
    for path, text in texts.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, text)


def replace_file(path: Path, text: str) -> None:
    """Put a text in the place of a file: whole or not at all, with its permissions (new: 0644)."""
    path = Path(os.path.realpath(path))
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
