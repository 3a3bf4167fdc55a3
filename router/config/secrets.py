"""Where the file of a secret is. Secrets themselves are read when they are used, never here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def find_file(name: str, folder: Path, environment: Mapping[str, str]) -> Path | None:
    """The file a secret's name leads to, or None when there is none.

    The credentials folder of the service manager ($CREDENTIALS_DIRECTORY) comes first, then the
    configuration folder; an absolute path stands for itself.
    """
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    candidates = [folder / name]
    if credentials:
        candidates.insert(0, Path(credentials) / name)
    for candidate in candidates:
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):
            continue
    return None
