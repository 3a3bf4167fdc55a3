"""What is known of the branch that is followed, beside the releases: it outlives every process.

A commit that was decided on is not looked at again until the branch is at another one, whether it
was taken, refused or rolled back from. `base` is what the branch must go on from: a tip that does
not contain it means that somebody rewound the branch.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal

from router.config.releases import Releases
from router.model.deployment import DeploySettings

LONGEST_PAUSE_SECONDS: Final = 3600.0
_NAME: Final = "following.json"

Decision = Literal["", "deploying", "taken", "refused"]


@dataclass(frozen=True, slots=True)
class Following:
    """One branch, as it was seen last. Times are seconds since the epoch, 0 for never.

    `error` and `failures` are of the looks since the last one that went well; `behind` and `ahead`
    count commits of the branch against the release in use; `changed` are files of that release that
    are not as they were committed. Both are None where it cannot be told.
    """

    source: str = ""
    tip: str = ""
    base: str = ""
    decided: str = ""
    decision: Decision = ""
    decided_at: float = 0.0
    why: str = ""
    message: str = ""
    problems: str = ""
    looked_at: float = 0.0
    fetched_at: float = 0.0
    next_at: float = 0.0
    error: str = ""
    failures: int = 0
    behind: int | None = None
    ahead: int | None = None
    changed: list[str] | None = field(default=None)


def source_of(settings: DeploySettings) -> str:
    """What tells one branch from another."""
    return f"{settings.repository} {settings.branch} {settings.path}"


def pause_seconds(settings: DeploySettings, failures: int) -> float:
    """Until the next look: twice as long after each that failed, an hour at most."""
    longest = max(settings.every_seconds, LONGEST_PAUSE_SECONDS)
    return float(min(settings.every_seconds * 2.0 ** min(failures, 20), longest))


@dataclass(frozen=True, slots=True)
class FollowingBook:
    """Keeps it in one file. Several processes may write."""

    releases: Releases
    source: str

    def read(self) -> Following:
        """What is known of this branch; nothing of another one's. Never raises."""
        try:
            text = (self.releases.folder / _NAME).read_text(encoding="utf-8")
            known = {one.name for one in fields(Following)}
            found = json.loads(text)
            kept = Following(**{key: value for key, value in found.items() if key in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return Following(self.source)
        return kept if kept.source == self.source else Following(self.source)

    def update(self, **changes: Any) -> Following:
        """Change some of it; what it is then. Raises OSError."""
        folder = self.releases.folder
        with open(folder / ".following.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            after = replace(self.read(), **changes)
            fresh = folder / f".{_NAME}"
            with fresh.open("w", encoding="utf-8") as output:
                json.dump(asdict(after), output, indent=1)
                output.flush()
                os.fsync(output.fileno())
            os.replace(fresh, folder / _NAME)
        return after
