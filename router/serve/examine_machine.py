"""Whether the machine is large enough, and whether its disk keeps what it says it keeps.

The sizes are those of a machine for the router alone: 4 cores, 16 GB, room for the cache. Nothing is
left behind: the speed of syncs is measured in a file without a name.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.errors import StoreDown
from router.model.plan import Plan
from router.serve.findings import Finding, ok, problem, warning
from router.serve.places import Places
from router.store.files import file_system_of, refuse_network_file_system
from router.store.segment import journal_bytes

CORES: Final = 4
# A machine of 16 GB shows less of it: firmware and kernel keep some.
MEMORY_BYTES: Final = 15_000_000_000
CACHE_BYTES: Final = 500_000_000_000
SLOW_SYNC_SECONDS: Final = 0.02
# No medium that outlives a power cut is known to be as fast.
UNBELIEVABLE_SYNC_SECONDS: Final = 0.000_01
_SYNCS: Final = 30
_BLOCK: Final = bytes(4096)
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores this process may use, memory, and the mounts as /proc/self/mounts has them."""

    cores: int
    memory_bytes: int
    mounts: str


def this_machine() -> Machine:
    """The machine this runs on."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    return Machine(len(os.sched_getaffinity(0)), pages * page_bytes, mounts)


def examine_machine(plan: Plan, machine: Machine) -> Iterator[Finding]:
    """Cores, memory, disk, data directory."""
    yield _cores(machine.cores)
    yield _memory(machine.memory_bytes)
    places = Places(plan.router.data_dir)
    folder = nearest_folder(places.data_dir)
    yield _disk(plan, places, folder)
    yield from _file_system(folder, machine.mounts)
    yield _data_dir(places.data_dir, folder)
    if folder == places.data_dir:
        yield _sync(folder)


def nearest_folder(path: Path) -> Path:
    """The path, or what of it exists already."""
    while not os.path.isdir(path) and path != path.parent:
        path = path.parent
    return path


def _cores(count: int) -> Finding:
    if count >= CORES:
        return ok("cores", f"{count}")
    return warning(
        "cores", f"{count}; a router for a whole site wants {CORES}", "give the machine more"
    )


def _memory(size_bytes: int) -> Finding:
    shown = f"{size_bytes / 1e9:.1f} GB"
    if size_bytes >= MEMORY_BYTES:
        return ok("memory", shown)
    return warning("memory", f"{shown}; a router for a whole site wants 16 GB", "give it more")


def _disk(plan: Plan, places: Places, folder: Path) -> Finding:
    """Whether the cache can become as large as it may; what it holds already counts for it."""
    try:
        usage = shutil.disk_usage(folder)
        held = journal_bytes(places.journal) if places.journal.is_dir() else 0
    except OSError as error:
        return problem("disk", f"{folder}: {error.strerror}", "run this as the router's user")
    wanted = plan.store.max_bytes
    has = f"{usage.free / 1e9:.0f} GB free of {usage.total / 1e9:.0f} GB"
    if wanted is None:
        if usage.total >= CACHE_BYTES:
            return ok("disk", f"{has}; the cache has no bound")
        return warning(
            "disk", f"{has}; a site wants 500 GB for its cache", "use a larger volume for data_dir"
        )
    says = f"{has}, {held / 1e9:.0f} GB held, cache.max_size is {wanted / 1e9:.0f} GB"
    if usage.free + held >= wanted:
        return ok("disk", says)
    return warning("disk", says, "lower cache.max_size, or use a larger volume for data_dir")


def _file_system(folder: Path, mounts: str) -> Iterator[Finding]:
    kind = file_system_of(folder, mounts) or "unknown"
    try:
        refuse_network_file_system(folder)
    except StoreDown as error:
        yield problem("file system", str(error), "put router.data_dir on a disk of this machine")
        return
    if kind in _IN_MEMORY:
        words = f"{folder} is in memory ({kind}): a power cut loses what was acknowledged"
        yield problem("file system", words, "put router.data_dir on a disk")
    elif kind == "overlay":
        words = f"{folder} is a layer of a container: it goes with the container"
        yield warning("file system", words, "mount a volume there")
    else:
        yield ok("file system", kind)


def _data_dir(data_dir: Path, folder: Path) -> Finding:
    if not os.access(folder, os.W_OK | os.X_OK):
        return problem(
            "data directory", f"{folder} cannot be written by this user",
            "run this as the router's user, or change the folder's owner",
        )  # fmt: skip
    if folder != data_dir:
        return ok("data directory", f"{data_dir} is not there yet; the first start makes it")
    mode = data_dir.stat().st_mode & 0o777
    if mode & 0o077:
        return warning(
            "data directory", f"{data_dir} is open to others (mode {mode:04o})",
            f"chmod 700 {data_dir}",
        )  # fmt: skip
    return ok("data directory", f"{data_dir}")


def _sync(folder: Path) -> Finding:
    """How long one image waits for the disk before it is acknowledged."""
    try:
        seconds = measured_sync_seconds(folder)
    except OSError as error:
        return problem("sync", f"{folder}: {error.strerror}", "run this as the router's user")
    shown = f"{seconds * 1000:.3g} ms for a write that must be durable"
    if seconds > SLOW_SYNC_SECONDS:
        return warning("sync", f"{shown}: every image waits as long", "use an SSD")
    if seconds < UNBELIEVABLE_SYNC_SECONDS:
        words = f"{shown}: too fast to be true; a cache may lose it in a power cut"
        return warning("sync", words, "switch off the disk's write cache, or the host's")
    return ok("sync", shown)


def measured_sync_seconds(folder: Path) -> float:
    """The median of some small writes with fdatasync. Raises OSError."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            began_at = time.perf_counter()
            os.write(file.fileno(), _BLOCK)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began_at)
    return statistics.median(taken)
