"""Looking after a configuration folder: that something happened in it, and whether anything changed.

Events of the file system are hints only: editors write in many steps, git in hundreds, network
shares send none. What counts is the fingerprint of the texts and of the files they name, so that a
touched file is no change and a missed event is found by the next look.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

_QUIET_KINDS = frozenset({"opened", "closed_no_write"})


class FolderWatch(FileSystemEventHandler):
    """Sets `happened` whenever something below the folder is written, moved or removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.happened = threading.Event()
        self._observer = Observer()
        self._folder = folder

    def start(self) -> bool:
        """Begin; false where the system has no more watches to give, then looking must do."""
        try:
            self._observer.schedule(self, str(self._folder), recursive=True)
            self._observer.start()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End; harmless when it never began."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(2.0)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by the observer's thread."""
        if event.event_type not in _QUIET_KINDS:
            self.happened.set()


def fingerprint(texts: Mapping[str, str], named: Iterable[Path]) -> str:
    """A digest of texts by relative path, and of the bytes of files they name (certificates)."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(f"{name}\0{len(texts[name])}\0{texts[name]}\0".encode("utf-8", "replace"))
    for path in sorted(named):
        try:
            content = path.read_bytes()
        except OSError:
            content = b"\0absent"
        digest.update(f"{path}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
