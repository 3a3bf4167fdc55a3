"""Task: what someone or a rule asked for. Its progress is counted from deliveries, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from router.model.delivery import Priority

TaskKind = Literal["route", "send", "receive", "retrieve", "commit"]
Direction = Literal["send", "receive", "commit"]
TaskStatus = Literal["Ready", "In Progress", "On Hold", "Completed", "Failed", "Cancelled"]


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are wanted; None is without bound. Times are seconds since the epoch."""

    status: TaskStatus | None = None
    station: str | None = None
    study_instance_uid: str | None = None
    requester: str | None = None
    priority: Priority | None = None
    created_since: float | None = None
    direction: Direction | None = None
    kind: TaskKind | None = None
    stations: frozenset[str] | None = None


SENDS: Final = TaskFilter(direction="send")


@dataclass(frozen=True, slots=True)
class Task:
    """One study on its way to a station, for a rule (`route`) or a person (`send`), or from one.

    Or what a station asks us to commit (`commit`), of which `study_instance_uid` is the first.
    Counts are deliveries; `objects` leaves out those that `moved` on to another station. Of what is
    received (`receive`) they are objects, as delivered at its end; of what is brought here
    (`retrieve`) the sub-operations as the station counts them; of a commitment the instances it
    names, as delivered what is committed, as dead what is not. Times are seconds since the epoch,
    None while they have not happened.
    `series_instance_uid` is empty but where a series is waited for and sent by itself.
    `plan` is the digest of the configuration that its first object came under, `revision` the commit
    that was deployed from, '' for a plain folder.
    """

    task_id: int
    kind: TaskKind
    status: TaskStatus
    status_reason: str
    priority: str
    station: str
    requester: str
    study_instance_uid: str
    series_instance_uid: str
    objects: int
    delivered: int
    waiting: int
    dead: int
    quarantined: int
    cancelled: int
    moved: int
    failures: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    last_modified_at: float
    revision: str = ""
    plan: str = ""
    note: str = ""
    """What it was asked for by: the study and the instance that came, where these asked."""

    @property
    def direction(self) -> Direction:
        """Whether it brings something in, sends something out, or answers for what was sent."""
        if self.kind == "commit":
            return "commit"
        return "receive" if self.kind in {"receive", "retrieve"} else "send"
