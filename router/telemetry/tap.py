"""Who looks at what passes, live: each role tells the listeners there are, and waits for none.

A listener makes a named pipe in the run folder of the data directory; roles look for new ones once
a second and write one line of JSON for each event, whole or not at all. Who reads too slowly loses
events and hears how many; who has gone is forgotten. A listener that asks for it gets the
identifying facts too: it can only ask where it can write, beside the images and their keys.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

MOST_LISTENERS: Final = 8
_KIND: Final = ".tap"
_IDENTIFYING: Final = ".phi.tap"
_LINE_BYTES: Final = select.PIPE_BUF  # what is written at once comes whole (POSIX write)
_ROOM_BYTES: Final = 1 << 20


@dataclass(slots=True)
class _Heard:
    descriptor: int
    identifying: bool
    missed: int = 0
    has_gone: bool = False


class Tap:
    """The telling side, of one process. Any thread may tell; one calls `look` now and then."""

    def __init__(self, folder: Path, role: str = "") -> None:
        self._folder = folder
        self._role = {"role": role} if role else {}
        self._listeners: Mapping[str, _Heard] = {}
        self.is_heard = False  # whether anybody listens; else nothing need be made to be told
        # Nobody may write to a descriptor that was closed: its number may be a journal's by then.
        self._lock = threading.Lock()

    def look(self) -> tuple[str, ...]:
        """See who listens now; the names of those who are new, to be told in the log.

        The pipes of those who have gone are closed.
        """
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(_KIND))
        except OSError:
            names = []
        if not names and not self._listeners:
            return ()
        with self._lock:
            fresh = []
            now: dict[str, _Heard] = {}
            for name, one in self._listeners.items():
                if name in names and not one.has_gone:
                    now[name] = one
                    continue
                os.close(one.descriptor)
                if one.has_gone:
                    self._tidy(name)
            for name in names[:MOST_LISTENERS]:
                if name not in now and (descriptor := self._opened(name)) is not None:
                    now[name] = _Heard(descriptor, name.endswith(_IDENTIFYING))
                    fresh.append(name)
            self._listeners, self.is_heard = now, bool(now)
        return tuple(fresh)

    def _opened(self, name: str) -> int | None:
        path = self._folder / name
        try:
            if not stat.S_ISFIFO(path.lstat().st_mode):
                return None
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ENXIO:  # its reader was killed
                self._tidy(name)
            return None

    def _tidy(self, name: str) -> None:
        with suppress(OSError):
            (self._folder / name).unlink()

    def tell(
        self, event: str, facts: Mapping[str, Any], identifying: Mapping[str, Any] | None = None
    ) -> None:
        """Tell every listener; `identifying` facts go to those alone that asked for them."""
        with self._lock:
            for one in self._listeners.values():
                if one.has_gone:
                    continue
                more = {"missed": one.missed} if one.missed else {}
                known = identifying if one.identifying and identifying else {}
                self._write(one, {"event": event, **self._role, **facts, **known, **more})

    def _write(self, one: _Heard, told: Mapping[str, Any]) -> None:
        line = json.dumps(told, default=str).encode() + b"\n"
        if len(line) > _LINE_BYTES:
            line = json.dumps({"event": told["event"], "cut": True}).encode() + b"\n"
        try:
            os.write(one.descriptor, line)
            one.missed = 0
        except BrokenPipeError:
            one.has_gone = True
        except OSError:
            one.missed += 1  # it is full


class Listener:
    """The listening side; a context manager. Raises OSError where nothing can be written."""

    def __init__(self, folder: Path, *, identifying: bool = False) -> None:
        self._path = folder / f"{os.getpid()}{_IDENTIFYING if identifying else _KIND}"
        self._descriptor = -1
        self._rest = b""

    def __enter__(self) -> Self:
        """Begin to listen; roles notice within a second."""
        # It gets its name once it has a reader: one without is taken for what a kill left.
        fresh = self._path.with_suffix(".new")
        with suppress(FileNotFoundError):
            fresh.unlink()
        os.mkfifo(fresh, 0o600)
        # For writing too, so that the pipe does not end when a role does.
        self._descriptor = os.open(fresh, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fresh.rename(self._path)
        with suppress(OSError):
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _ROOM_BYTES)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)

    def told(self, timeout_seconds: float) -> Iterator[dict[str, Any]]:
        """What has come, after waiting so long at most for the first of it."""
        if not select.select([self._descriptor], [], [], timeout_seconds)[0]:
            return
        *lines, self._rest = (self._rest + os.read(self._descriptor, _ROOM_BYTES)).split(b"\n")
        for line in lines:
            yield dict(json.loads(line))
