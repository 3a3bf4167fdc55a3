"""Where things lie in the data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one data directory."""

    data_dir: Path

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.data_dir / "ledger" / "ledger.db"

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.data_dir / "journal"

    @property
    def keys(self) -> Path:
        """The key ring's folder."""
        return self.data_dir / "keys"

    @property
    def rekeying(self) -> Path:
        """How far the last rekeying is: counts, no secrets."""
        return self.run / "rekeying.json"

    @property
    def run(self) -> Path:
        """What the processes publish while they run: metrics, no state."""
        return self.data_dir / "run"


def is_running(places: Places) -> bool:
    """Whether a router holds the data directory now. Looks, and never touches the lock itself."""
    try:
        inode = str((places.data_dir / "LOCK").stat().st_ino)
    except FileNotFoundError:
        return False
    locks = map(str.split, Path("/proc/locks").read_text(encoding="ascii").splitlines())
    # `1: FLOCK ADVISORY WRITE pid device:inode 0 EOF`; who waits for a lock has `->` before FLOCK.
    return any(words[1] == "FLOCK" and words[5].split(":")[2] == inode for words in locks)
