"""The texts of the last plan that ran, so that a broken folder at boot does not stop the images.

One file in the data folder, mode 0600, replaced as a whole: after a crash it holds the old texts or
the new ones. It holds no secrets, since the configuration holds none. Writing may raise OSError;
reading raises nothing: what cannot be read is not there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from router.config.load import Loaded, load_texts
from router.config.plugged import Plugs

FILE_NAME: Final = "last-good-configuration.json"
_MAX_BYTES: Final = 64 * 1024 * 1024


def save(data_dir: Path, loaded: Loaded) -> None:
    """Keep the texts of a plan that runs now. Raises OSError when they cannot be written."""
    if loaded.plan is None:
        return
    kept = {
        "digest": loaded.plan.digest,
        "folder": str(loaded.plan.folder),
        "files": {source.relative: source.text for source in loaded.sources},
    }
    target = data_dir / FILE_NAME
    new = data_dir / (FILE_NAME + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        json.dump(kept, file)
        file.flush()
        os.fsync(descriptor)
    os.replace(new, target)
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_last_good(data_dir: Path, plugs: Plugs) -> Loaded | None:
    """The last plan that ran, compiled again; None when none was kept or it cannot be read."""
    try:
        with open(data_dir / FILE_NAME, "rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        files = {str(name): str(text) for name, text in kept["files"].items()}
        folder = Path(kept["folder"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return load_texts(files, folder, plugs)
