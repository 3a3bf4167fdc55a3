"""Releases: a commit of a git repository as an immutable folder, and the link that says which one runs.

Beside the link `config` lies `config.releases/`, with one read-only folder for each commit. A commit is
read blob by blob: no working tree is touched, no hook, filter, submodule or attribute of the
repository acts, and a link or a file outside is refused. A folder gets its name only when it is whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from router.config.git import COMMIT, NotDeployed, files_of

KEPT: Final = 10
SHOWN_CHARACTERS: Final = 12
_SUFFIX: Final = ".releases"
_WRITABLE, _READ_ONLY = 0o755, 0o555
_STATE: Final = "state.json"
_STEP_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Release:
    """A commit that was put into use: when (seconds since the epoch), by whom, who wrote it.

    `path` is the folder of the repository that it holds.
    """

    commit: str
    path: str
    at: float
    by: str
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class State:
    """Where releases come from, the current one and those before it, the latest first.

    `signers` is the file of those who must have signed; '' where no signature is asked for.
    """

    repository: str = ""
    path: str = ""
    history: tuple[Release, ...] = ()
    signers: str = ""


def revision_of(folder: Path) -> str:
    """The short name of the commit a configuration folder is; '' where it is no release."""
    real = Path(os.path.realpath(folder))
    is_release = real.parent.name.endswith(_SUFFIX) and COMMIT.match(real.name)
    return real.name[:SHOWN_CHARACTERS] if is_release else ""


class Releases:
    """The releases beside one link. Raises NotDeployed and OSError."""

    def __init__(self, link: Path) -> None:
        self.link = Path(os.path.abspath(link))
        self.folder = self.link.with_name(self.link.name + _SUFFIX)

    @property
    def mirror(self) -> Path:
        """The repository that holds what was fetched of the branch that is followed."""
        return self.folder / "repository.git"

    @contextmanager
    def locked(self, patience_seconds: float = 0.0) -> Iterator[None]:
        """Only one deploys at a time; another is waited for so long."""
        if self.link.exists() and not self.link.is_symlink():
            raise NotDeployed(
                f"{self.link} is a folder, and deploying makes a link of that name: move it away "
                f"first, for example to {self.link}.before"
            )
        if self.link.is_symlink() and not self.current():
            raise NotDeployed(
                f"{self.link} is a link to {os.readlink(self.link)}, which deploy did not make: move "
                "it away first"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + patience_seconds
        with open(self.folder / ".lock", "w", encoding="ascii") as lock:
            while not _is_ours(lock):
                if time.monotonic() >= until:
                    raise NotDeployed("somebody else deploys at this moment")
                time.sleep(_STEP_SECONDS)
            yield

    def state(self) -> State:
        """What was put into use; empty before the first time.

        The link alone decides: what stands before the release it points to never took effect.
        """
        try:
            found = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            history = tuple(Release(**one) for one in found["history"])
            kept = State(found["repository"], found["path"], history, found.get("signers", ""))
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError) as error:
            raise NotDeployed(
                f"{self.folder / _STATE} cannot be read: {error}; move it away, and give --repo again"
            ) from None
        current = self.current()
        places = [place for place, one in enumerate(history) if one.commit == current]
        return replace(kept, history=history[places[0] :] if places else ())

    def current(self) -> str:
        """The commit the link points to; '' when there is none."""
        real = Path(os.path.realpath(self.link)) if self.link.is_symlink() else Path()
        is_ours = real.parent == Path(os.path.realpath(self.folder))
        return real.name if is_ours and COMMIT.match(real.name) else ""

    def export(self, repository: Path, path: str, commit: str) -> Path:
        """The folder of a commit, exported if it is not there; whole or not at all."""
        target = self.folder / commit
        if target.is_dir():
            others = {one.path for one in self.state().history if one.commit == commit} - {path}
            if others:
                raise NotDeployed(
                    f"commit {commit[:12]} is here already, exported from {others.pop()!r}: make a "
                    f"new commit to deploy {path!r} of it"
                )
            return target
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            for name, content in files_of(repository, path, commit):
                file = fresh / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as output:
                    output.write(content)
                    output.flush()
                    os.fsync(output.fileno())
                file.chmod(0o444)
            os.replace(fresh, target)
            _seal(target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        return target

    def remove(self, commit: str) -> None:
        """Take away a release that nothing uses."""
        target = self.folder / commit
        for folder, _, _ in os.walk(target):
            os.chmod(folder, _WRITABLE)
        shutil.rmtree(target, ignore_errors=True)

    def flip(self, commit: str) -> None:
        """Point the link at a release, at once."""
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"{self.folder.name}/{commit}")
        os.replace(fresh, self.link)
        _sync(self.link.parent)

    def unlink(self) -> None:
        """Without a release before this one there is no link."""
        self.link.unlink(missing_ok=True)

    def advance(self, before: State, after: State) -> None:
        """Put what comes first in `after` into use. A crash leaves the one or the other.

        What the state says beyond the link is left out when it is read, so forward it is written
        first, and back it is written last.
        """
        if not after.history:
            self.unlink()
            self.write(after)
            return
        goes_on = before.history and before.history[0] in after.history[1:]
        if goes_on or not before.history:
            self.write(after)
            self.flip(after.history[0].commit)
            return
        self.flip(after.history[0].commit)
        self.write(after)

    def prune(self, state: State) -> None:
        """Take away what is half made, and releases beyond those kept."""
        kept = {one.commit for one in state.history[:KEPT]} | {self.current()}
        for folder in self.folder.iterdir():
            is_old = COMMIT.match(folder.name) and folder.name not in kept
            if is_old or folder.name.startswith(".new-"):
                self.remove(folder.name)

    def write(self, state: State) -> None:
        """Write down what is in use, and what was before."""
        text = json.dumps(asdict(replace(state, history=state.history[:KEPT])), indent=1)
        fresh = self.folder / f".{_STATE}"
        with fresh.open("w", encoding="utf-8") as output:
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        os.replace(fresh, self.folder / _STATE)
        _sync(self.folder)


def _is_ours(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Make what was renamed in a folder outlast a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(target: Path) -> None:
    for folder, _, _ in os.walk(target):
        os.chmod(folder, _READ_ONLY)
