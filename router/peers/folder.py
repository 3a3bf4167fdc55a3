"""A folder: every instance as one PS3.10 file, STUDY-UID/INSTANCE-UID.dcm.

A file appears under its name whole and durable, or not at all: it is written beside it under a
hidden name, synced, then linked. Nothing is ever overwritten: the same content again is delivered
already, other content under a known UID gets a name of its own. Names are made of UIDs that are
digits and dots, else of their digest; no text of a data set reaches the file system. Symbolic links
below the folder are not followed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import Busy, DeliveryError, Rejected, RouterError, Unreachable
from router.model.delivery import Outcome, Result
from router.model.ids import is_valid_uid
from router.model.station import Station
from router.peers.peer import Parcel, PeerContext, Probe, failure_outcome, file_header, not_sent

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.EFBIG})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class FolderPeer:
    """The working side of one folder station."""

    def __init__(self, station: Station, context: PeerContext) -> None:
        self._path = station.path
        self._clock = context.clock

    def probe(self) -> Probe:
        """Create and remove an empty hidden file."""
        began_at = self._clock.monotonic()
        name = f".probe-{secrets.token_hex(8)}"
        try:
            with self._root() as root, _told():
                os.close(os.open(name, _NEW_FILE, _FILE_MODE, dir_fd=root))
                os.unlink(name, dir_fd=root)
        except DeliveryError as error:
            return Probe(False, self._clock.monotonic() - began_at, str(error))
        return Probe(True, self._clock.monotonic() - began_at, "the folder can be written")

    def send(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        """Write them one after another; a fault of the folder ends the sending."""
        stop: Outcome | None = None
        for parcel in parcels:
            delivery_id = parcel.leased.delivery_id
            if stop is not None:
                yield not_sent(delivery_id, stop)
                continue
            try:
                with self._root() as root:
                    note = self._written(root, parcel)
            except RouterError as error:
                outcome = failure_outcome(delivery_id, error)
                stop = outcome if error.scope == "station" else None
                yield outcome
            else:
                yield Outcome(delivery_id, Result.DELIVERED, note)

    def idle(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""

    @contextlib.contextmanager
    def _root(self) -> Iterator[int]:
        if self._path is None:
            raise Rejected("the station has no path")
        with _told():
            descriptor = os.open(self._path, _DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _written(self, root: int, parcel: Parcel) -> str:
        outgoing = parcel.outgoing(None)
        header = file_header(outgoing)
        name = safe_name(outgoing.sop_instance_uid)
        hidden = f".{parcel.leased.delivery_id}-{name}.part"
        with _folder(root, safe_name(outgoing.study_instance_uid)) as folder:
            with _told(), contextlib.suppress(FileNotFoundError):
                os.unlink(hidden, dir_fd=folder)  # of a try that was killed
            try:
                written = _write(folder, hidden, header, outgoing.chunks)
                with _told():
                    return _publish(folder, hidden, name, written)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(hidden, dir_fd=folder)


@dataclass(frozen=True, slots=True)
class _Written:
    """A complete file under its hidden name."""

    length: int
    digest: str


def safe_name(uid: str) -> str:
    """A UID as a file name: itself when it is digits and dots, else a digest of it."""
    if is_valid_uid(uid, lenient=True):
        return uid
    return "uid-" + hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@contextlib.contextmanager
def _folder(root: int, name: str) -> Iterator[int]:
    with _told():
        try:
            os.mkdir(name, _FOLDER_MODE, dir_fd=root)
            os.fsync(root)
        except FileExistsError:
            pass
        descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(
    folder: int, name: str, header: bytes, chunks: Callable[[], Iterator[bytes | memoryview]]
) -> _Written:
    digest, length = hashlib.sha256(), 0
    with _told():
        descriptor = os.open(name, _NEW_FILE, _FILE_MODE, dir_fd=folder)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for chunk in _all(header, chunks):
            digest.update(chunk)
            length += len(chunk)
            view = memoryview(chunk)
            while view:
                with _told():
                    view = view[file.write(view) :]
        with _told():
            os.fsync(descriptor)
    return _Written(length, digest.hexdigest())


def _all(
    header: bytes, chunks: Callable[[], Iterator[bytes | memoryview]]
) -> Iterator[bytes | memoryview]:
    yield header
    yield from chunks()


def _publish(folder: int, hidden: str, name: str, written: _Written) -> str:
    """Give the file its name, or find that it is there already; returns what to tell."""
    note = ""
    for final in (f"{name}.dcm", f"{name}-{written.digest[:16]}.dcm"):
        if _linked(folder, hidden, final):
            os.fsync(folder)
            return note
        if _holds(folder, final, written):
            return "it was there already, with the same content"
        note = "other content of this UID was there: kept both"
    raise Rejected("the file name is taken by something else")


def _linked(folder: int, hidden: str, final: str) -> bool:
    try:
        os.link(hidden, final, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links: no other writer of this router has the same name.
        if _exists(folder, final):
            return False
        os.rename(hidden, final, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _holds(folder: int, name: str, written: _Written) -> bool:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size != written.length:
            return False
        return hashlib.file_digest(file, "sha256").hexdigest() == written.digest


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the operating system as errors of the station."""
    try:
        yield
    except OSError as error:
        cause = f"{errno.errorcode.get(error.errno or 0, 'unknown')}: {error.strerror}"
        if error.errno in _FULL:
            raise Busy(f"the folder has no room ({cause})") from error
        if error.errno in _FORBIDDEN:
            raise Rejected(f"the folder cannot be written ({cause})") from error
        raise Unreachable(f"the folder cannot be used ({cause})") from error
