"""Small steps on files and folders that must be on stable storage, and what their failures mean.

A new or renamed name is durable only when its folder is synced as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router.errors import StoreDown, StoreFull

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_NETWORK_KINDS: Final = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "coda",
        "gfs",
        "gfs2",
        "glusterfs",
        "lustre",
        "ncpfs",
        "ocfs2",
        "orangefs",
        "beegfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.davfs",
        "davfs",
    ]
)


def store_error(error: OSError, doing: str) -> StoreFull | StoreDown:
    """The typed error for a failed system call; the text never holds a path."""
    reason = os.strerror(error.errno) if error.errno else "unknown reason"
    if error.errno in NO_ROOM:
        return StoreFull(f"no room left: {doing}")
    return StoreDown(f"{doing} failed: {reason}")


def sync_folder(folder: Path) -> None:
    """Make names created or removed in the folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """While nobody else has the folder locked, in this process or another. Raises StoreDown."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise store_error(error, "locking a folder of the data directory") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create the folder, for its owner only, when it is not there. Raises StoreFull, StoreDown."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise store_error(error, "creating a folder of the data directory") from error


def file_system_of(folder: Path, mounts: str) -> str:
    """The kind of file system the folder is on, by the text of /proc/self/mounts; '' unknown."""
    best, kind = "", ""
    path = str(folder.resolve()) + "/"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape").rstrip("/") + "/"
        if path.startswith(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def refuse_network_file_system(folder: Path) -> None:
    """Raise StoreDown where locks and syncs do not mean what we rely on."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    kind = file_system_of(folder, mounts)
    if kind in _NETWORK_KINDS:
        raise StoreDown(f"the data directory is on a network file system ({kind}); use a local one")
