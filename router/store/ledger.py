"""What the ledger promises, whoever keeps it: instances, deliveries, tasks, station status.

Every writing call is one durable transaction, all or nothing. It holds no patient attributes: UIDs,
station names, modality, sizes and times only. Times are seconds since the epoch. StoreDown: it
cannot be read or written; StoreFull: the disk is full. Safe for threads; open it after a fork.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from router.model.commitment import Referenced
from router.model.delivery import Disposition, Leased, Outcome, Priority, State
from router.model.instance import Instance, RecordRef
from router.model.recipe import Recipe
from router.model.rule import Decision, Owed
from router.model.task import SENDS, Task, TaskFilter, TaskStatus
from router.store.balance import Account, Backlog, Failure
from router.store.retrievals import RetrievalBook

StationState = Literal["online", "offline", "unknown", "inactive"]

SEND_PREFIX: Final = "send:"
"""`Owed.rule` of what a person asked for: this prefix, then the requester. Else a rule's name."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """One committed record, as its envelope has it."""

    ref: RecordRef
    instance: Instance
    decision: Decision
    plan_digest: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a try came to and where the delivery goes now.

    `state` QUEUED with `due_at` is a retry; None keeps the time it was due. `count_attempt` says
    whether the try used up an attempt.
    """

    outcome: Outcome
    due_at: float | None
    state: State
    count_attempt: bool = True


@dataclass(frozen=True, slots=True)
class StationStatus:
    """The last known state of a station; `since` is when it became so, `checked_at` the last look.

    `seconds` and `answer` are of the last probe, None and '' when there was none.
    """

    station: str
    state: StationState
    reason: str
    since: float
    checked_at: float
    seconds: float | None = None
    answer: str = ""
    closed: str = ""
    """Why nothing is begun for it now although it may be online: it is outside its hours."""


@dataclass(frozen=True, slots=True)
class StationEvent:
    """A station became so, at that time, for that reason."""

    at: float
    station: str
    state: StationState
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One instance owed to one station, as it stands."""

    delivery_id: int
    instance_id: int
    task_id: int
    station: str
    recipe_digest: str
    priority: Priority
    state: State
    attempts: int
    due_at: float
    last_error: str
    last_status: int | None
    created_at: float
    changed_at: float
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance of the ledger; `record` is None once its bytes were evicted.

    The patient attributes of `instance` are empty: they are in the envelope of the record alone.
    `withheld` is the code it was rejected with, where it is not handed out for that; or NOTE.
    """

    instance_id: int
    record: RecordRef | None
    instance: Instance
    disposition: Disposition
    duplicate_of: int | None
    plan_digest: str
    rules: tuple[str, ...]
    withheld: str | None = None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Instances to describe series from, and the instance id up to which all were looked at."""

    mark: int
    instances: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """The description of one series, sealed by `router.store.catalogue`; None once it is gone.

    `entry_id` grows with every change; `sop_instance_uid` is the instance it was read from.
    """

    entry_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sealed: bytes | None


@dataclass(frozen=True, slots=True)
class HeldCounts:
    """How many instances of one SOP class are held of a series."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    instances: int


@dataclass(frozen=True, slots=True)
class Prior:
    """A study whose patient's earlier studies a rule wants here. Times are since the epoch."""

    prior_id: int
    study_instance_uid: str
    rule: str
    instance_id: int
    state: str
    tries: int
    due_at: float
    message: str
    created_at: float


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """What is held of one study; `sources` are stations, or AE titles of callers that are none."""

    study_instance_uid: str
    series: int
    instances: int
    data_set_bytes: int
    received_at: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """The newest version of an instance that is held, and the station it came from, if known."""

    instance_id: int
    sop_instance_uid: str
    plan_digest: str
    source_station: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """An instance that was booked. `state`: current, replaced by a newer version, or deleted."""

    sequence: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    received_at: float
    state: str


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How many of some deliveries are done: `warnings` were delivered, with a warning."""

    open: int
    delivered: int
    warnings: int
    failed: int


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the Task Log. `kind` is one word, such as created, busy, dead, retried."""

    event_id: int
    at: float
    task_id: int
    delivery_id: int | None
    kind: str
    message: str
    status: int | None


class Ledger(Protocol):
    """The index of the journal and the book of what is owed."""

    retrievals: RetrievalBook

    def index(
        self, entries: Sequence[Indexed], marks: Mapping[int, int] | None = None
    ) -> tuple[int, ...]:
        """Book records: instance, deliveries, tasks, recipes. Instance ids, in order of `entries`.

        A record that is known already is left as it is. How far each segment is indexed follows
        from the records; `marks` (segment → byte offset) pushes it further, past damaged bytes.
        """

    def marks(self) -> dict[int, int]:
        """Segment → offset up to which every record is indexed."""

    def remember_recipes(self, recipes: Iterable[Recipe]) -> None:
        """Keep recipes under their digests; `index` does so for those of its decisions."""

    def recipe(self, digest: str) -> Recipe:
        """The recipe of that digest. Raises KeyError."""

    def turn(
        self, outcomes: Sequence[Settlement], wants: Mapping[str, int], now: float
    ) -> tuple[Leased, ...]:
        """Settle, then lease up to `wants[station]` due deliveries per station.

        Order: priority, then study, then arrival; one of lower priority after every ten of higher.
        """

    def hand_over(self, away: Mapping[str, str], ready: Mapping[str, int], now: float) -> int:
        """Move on what waits at stations that cannot take it and that another one may take; how many.

        `away`: station → why it cannot; `ready`: station → how many it may get now. Each goes to the
        first of its stations that is ready. What is being sent, is held, waits for silence or for
        what it has to follow, or was rejected stays.
        """

    def release_foreign_leases(self, living: Collection[str] = ()) -> int:
        """Put back what earlier boots had leased; how many."""

    def release_station(self, station: str, delivery_ids: Collection[int]) -> int:
        """Put back own leases that were not tried, without burning an attempt; how many."""

    def next_due_at(self, after: float = 0.0) -> float | None:
        """The earliest time beyond `after` at which a queued delivery falls due."""

    def waiting_stations(self) -> Mapping[str, int]:
        """Station → number of queued deliveries, held ones included, where there are any."""

    def set_station_status(self, station: str, state: StationState, reason: str, at: float) -> None:
        """Note what a look at the station came to."""

    def note_probe(self, station: str, seconds: float, answer: str, at: float) -> None:
        """Note how long a probe took and what was answered."""

    def station_statuses(self) -> Mapping[str, StationStatus]:
        """The status of every station that was ever looked at."""

    def set_station_closed(self, station: str, words: str) -> bool:
        """Note why nothing is begun for a station, '' when something is; whether that is new."""

    def station_events(self, station: str, limit: int = 100) -> tuple[StationEvent, ...]:
        """The changes of a station's status, latest first."""

    def tasks(
        self,
        *,
        status: TaskStatus | None = None,
        station: str | None = None,
        limit: int = 100,
        before: int | None = None,
        wanted: TaskFilter = SENDS,
    ) -> tuple[Task, ...]:
        """Tasks, newest first, with ids below `before`, that meet the filter and what is given."""

    def task(self, task_id: int) -> Task | None:
        """One task."""

    def deliveries_of(self, task_id: int, limit: int = 1000) -> tuple[Delivery, ...]:
        """The deliveries of a task, in order of arrival."""

    def references_of(self, task_id: int, limit: int = 1000) -> tuple[Referenced, ...]:
        """What a task of kind `commit` names, what is not committed first."""

    def events_of(self, task_id: int, limit: int = 1000) -> tuple[Event, ...]:
        """The log of a task, oldest first."""

    def send(
        self,
        instance_ids: Sequence[int],
        owed: Owed,
        at: float,
        move_originator: tuple[str, int] | None = None,
        joining: int | None = None,
    ) -> int:
        """Owe held instances to a station because someone asked; the task id. Raises KeyError.

        `move_originator`: AE title and message ID of the C-MOVE; `joining`: an earlier task of it.
        """

    def retry(
        self, task_ids: Sequence[int] | None = None, station: str | None = None, by: str = ""
    ) -> int:
        """Begin again what is dead, quarantined or not committed of these tasks; without: all dead."""

    def note_plan(self, digest: str, revision: str) -> None:
        """Remember the commit a plan was deployed from; the first one that made it counts."""

    def hold(self, task_ids: Sequence[int], by: str) -> int:
        """Send nothing more of these tasks until they are resumed; how many were not held."""

    def resume(self, task_ids: Sequence[int], by: str) -> int:
        """Let held tasks go on; how many were held."""

    def prioritise(self, task_ids: Sequence[int], priority: Priority, by: str) -> int:
        """Another priority for what waits of these tasks; how many tasks had another before."""

    def cancel(self, task_ids: Sequence[int], by: str = "") -> int:
        """Cancel what is still queued of these tasks; how many deliveries, or commitments."""

    def instance(self, instance_id: int) -> Stored | None:
        """One instance."""

    def find_instances(self, sop_instance_uid: str) -> tuple[Stored, ...]:
        """Every version of a SOP instance, oldest first."""

    def instances_of_study(self, study_instance_uid: str) -> tuple[Stored, ...]:
        """The instances of a study whose bytes are still here, oldest first, no duplicates."""

    def received_since(
        self, since: float, behind: tuple[str, int], limit: int
    ) -> tuple[Stored, ...]:
        """The next of what arrived since then, by study and then arrival, behind (study, id).

        Evicted ones and duplicates are among them. Begin with ("", 0).
        """

    def deliveries_of_instance(self, instance_id: int) -> tuple[Delivery, ...]:
        """Every delivery an instance is or was owed, oldest first."""

    def attempts_of(self, delivery: Delivery) -> tuple[Event, ...]:
        """The events of one delivery, oldest first: each try that was not a plain success."""

    def held_versions(
        self, study_instance_uid: str, series_instance_uid: str | None = None
    ) -> tuple[HeldVersion, ...]:
        """What may be handed out of a study or series, in order of arrival."""

    def latest_deliveries(self, instance_ids: Sequence[int], station: str) -> tuple[int, ...]:
        """The latest delivery of each of these instances to the station, where there is one."""

    def delivery_counts(self, delivery_ids: Sequence[int]) -> DeliveryCounts:
        """How far these deliveries are."""

    def not_delivered(self, delivery_ids: Sequence[int], limit: int) -> tuple[str, ...]:
        """SOP Instance UIDs of those of these deliveries that are not delivered."""

    def held_counts(self, study_instance_uids: Collection[str]) -> tuple[HeldCounts, ...]:
        """How many instances are held of these studies, by series and SOP class."""

    def notice_priors(
        self, rules: Collection[str], archives: Collection[str], plan_digest: str, at: float
    ) -> int:
        """Note what matched these rules since and came from none of these stations; how many.

        Who begins to look begins with what came under the plan of that digest.
        """

    def due_priors(self, now: float, limit: int = 1) -> tuple[Prior, ...]:
        """What is to be fetched now, the longest waiting first."""

    def priors(self, limit: int = 100) -> tuple[Prior, ...]:
        """What was noticed, the latest first."""

    def ask_priors(self, study_instance_uid: str, rules: Collection[str], *, is_named: bool) -> int:
        """Fetch them now, by these rules or those of them that matched it; for how many rules."""

    def settle_prior(
        self,
        prior_id: int,
        state: str,
        message: str,
        at: float,
        due_at: float = 0.0,
        *,
        tried: bool = True,
    ) -> None:
        """Note what a try came to: waiting until `due_at`, fetched or failed; or that there was none."""

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """What was booked behind that sequence and may be given, in order."""

    def latest_change(self) -> Change | None:
        """The last of them."""

    def held_studies(self, study_instance_uids: Collection[str]) -> tuple[HeldStudy, ...]:
        """What is held of these studies, summed up."""

    def studies_within(
        self, study_instance_uids: Collection[str], stations: Collection[str]
    ) -> frozenset[str]:
        """Those of these studies of which every instance came from or is owed to these stations."""

    def version(self) -> int:
        """A number that is another one once any process has changed something."""

    def unlisted(self, limit: int) -> Unlisted | None:
        """One instance of each series that the catalogue lacks, among the next `limit`."""

    def put_catalogue(self, mark: int, rows: Sequence[CatalogueRow]) -> None:
        """Write rows of the catalogue (their `entry_id` is given anew), and move its mark."""

    def catalogue_after(self, entry_id: int, limit: int) -> tuple[CatalogueRow, ...]:
        """The rows of the catalogue that changed after that entry, in that order."""

    def backlog(self) -> Backlog:
        """How much there is to do, and since when."""

    def failures(self, limit: int) -> tuple[Failure, ...]:
        """The tries that failed last, the latest first."""

    def account(self) -> Account:
        """The balance, counted now."""

    def owed_records(self, segment: int | None = None) -> tuple[tuple[int, RecordRef], ...]:
        """(instance id, record) of what must not be evicted, in order of place."""

    def leased_in(self, segment: int) -> bool:
        """Whether a delivery of a record of this segment is being sent."""

    def newest_in(self, segment: int) -> float | None:
        """When the newest record of the segment arrived; None when it has none."""

    def drop_segment(self, segment: int, moved: Mapping[int, RecordRef]) -> bool:
        """Forget a segment, with new places for its owed records (instance id → place).

        False, and nothing done, when more is owed there than was moved, or something is leased.
        """

    def dropped_segments(self) -> tuple[int, ...]:
        """Segments that are forgotten; their files may be deleted."""

    def prune_events(self, before: float) -> int:
        """Delete events of ended tasks older than that; how many."""

    def close(self) -> None:
        """Close it; harmless when closed."""
