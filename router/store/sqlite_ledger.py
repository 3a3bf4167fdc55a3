"""The ledger in one SQLite file, for one machine. `ledger.py` says what it promises.

Each method is one transaction around a function of the module that knows the matter: indexing,
turning, tasks, instances, keeping, accounting. Several processes may have it open.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from router.clock import Clock
from router.model.commitment import Referenced
from router.model.delivery import Leased, Priority
from router.model.instance import RecordRef
from router.model.recipe import Recipe
from router.model.rule import Owed
from router.model.task import SENDS, Task, TaskFilter, TaskStatus
from router.store import (
    accounting,
    cataloguing,
    choices,
    commitment_tasks,
    indexing,
    instances,
    keeping,
    priors,
    stations,
    tasks,
    turning,
    watching,
)
from router.store.balance import Account, Backlog, Failure
from router.store.counting import Counts
from router.store.database import Database
from router.store.ledger import (
    CatalogueRow,
    Change,
    Delivery,
    DeliveryCounts,
    Event,
    HeldCounts,
    HeldStudy,
    HeldVersion,
    Indexed,
    Prior,
    Settlement,
    StationEvent,
    StationState,
    StationStatus,
    Stored,
    Unlisted,
)
from router.store.retrievals import RetrievalBook


class SqliteLedger:
    """Safe for threads; open it after a fork."""

    def __init__(self, database: Database, clock: Clock, boot_id: str) -> None:
        self._database = database
        self._clock = clock
        self._boot_id = boot_id
        self._fairness = turning.Fairness()
        self._known_recipes: frozenset[str] = frozenset()
        self.retrievals = RetrievalBook(database, clock)

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        boot_id: str,
        *,
        read_only: bool = False,
        quick_check: bool = False,
        rows_in_journal: bool = False,
    ) -> SqliteLedger:
        """The ledger in that file, made when it is missing; `quick_check` after an unclean stop.

        With `rows_in_journal` the caller only indexes what lies in the journal: a power cut may
        take its last rows back, and recovery indexes them again. Everything else must not use it.

        Raises StoreDown when it is damaged or of a newer version.
        """
        database = Database(
            path, read_only=read_only, quick_check=quick_check, rows_in_journal=rows_in_journal
        )
        return cls(database, clock, boot_id)

    def index(
        self, entries: Sequence[Indexed], marks: Mapping[int, int] | None = None
    ) -> tuple[int, ...]:
        """Book records; their instance ids, in order of `entries`."""
        now = self._clock.now()
        with self._database.write() as connection:
            ids = indexing.book(connection, entries, marks or {}, self._known_recipes, now)
        owed = [one for entry in entries for one in entry.decision.owed]
        self._known_recipes |= {one.recipe.digest for one in owed}
        self._known_recipes |= {one.recipe.digest for each in owed for one in each.others}
        return ids

    def marks(self) -> dict[int, int]:
        """Segment → offset up to which every record is indexed."""
        with self._database.read() as connection:
            return dict(
                connection.execute("SELECT number, indexed_to FROM segment WHERE dropped = 0")
            )

    def remember_recipes(self, recipes: Iterable[Recipe]) -> None:
        """Keep recipes under their digests."""
        with self._database.write() as connection:
            for recipe in recipes:
                indexing.remember(connection, recipe)

    def recipe(self, digest: str) -> Recipe:
        """The recipe of that digest. Raises KeyError."""
        with self._database.read() as connection:
            statement = "SELECT steps FROM recipe WHERE digest = ?"
            row = connection.execute(statement, (digest,)).fetchone()
        if row is None:
            raise KeyError(digest)
        return Recipe(row[0], digest)

    def turn(
        self, outcomes: Sequence[Settlement], wants: Mapping[str, int], now: float
    ) -> tuple[Leased, ...]:
        """Settle, then lease up to `wants[station]` due deliveries per station.

        A lease alone need not outlive a power cut: who starts afterwards leases again.
        """
        counts = Counts()
        with self._database.write(is_durable=bool(outcomes)) as connection:
            if outcomes:
                turning.settle(connection, outcomes, counts, now)
            leased = turning.lease(connection, wants, counts, now, self._boot_id, self._fairness)
            counts.write(connection)
        return leased

    def hand_over(self, away: Mapping[str, str], ready: Mapping[str, int], now: float) -> int:
        """See `Ledger`; nothing is written where nothing may move."""
        with self._database.read() as connection:
            if not choices.moves(connection, away, ready):
                return 0
        counts = Counts()
        with self._database.write() as connection:
            moved = choices.hand_over(connection, counts, away, ready, now)
            counts.write(connection)
        return moved

    def release_foreign_leases(self, living: Collection[str] = ()) -> int:
        """Put back what others had leased, but for the living; how many."""
        statement = (
            "SELECT delivery_id, station FROM delivery WHERE state = 'sending' "
            "AND leased_by NOT IN (SELECT value FROM json_each(?))"
        )
        return self._put_back(statement, (json.dumps([self._boot_id, *living]),))

    def release_station(self, station: str, delivery_ids: Collection[int]) -> int:
        """Put back own leases that were not tried; how many."""
        statement = (
            "SELECT delivery_id, station FROM delivery WHERE state = 'sending' AND leased_by = ? "
            "AND station = ? AND delivery_id IN (SELECT value FROM json_each(?))"
        )
        return self._put_back(statement, (self._boot_id, station, json.dumps(list(delivery_ids))))

    def _put_back(self, statement: str, parameters: tuple[str, ...]) -> int:
        counts = Counts()
        with self._database.write() as connection:
            rows = connection.execute(statement, parameters).fetchall()
            number = turning.put_back(connection, rows, counts, self._clock.now())
            counts.write(connection)
        return number

    def next_due_at(self, after: float = 0.0) -> float | None:
        """The earliest time beyond `after` at which a queued delivery falls due."""
        statement = (
            "SELECT min(due_at) FROM delivery INDEXED BY delivery_due "
            "WHERE state = 'queued' AND due_at > 0 AND due_at > ?"
        )
        with self._database.read() as connection:
            due_at: float | None = connection.execute(statement, (after,)).fetchone()[0]
        return due_at

    def waiting_stations(self) -> Mapping[str, int]:
        """Station → number of queued deliveries, held ones included, where there are any."""
        statement = (
            "SELECT station, value FROM counter WHERE name = 'delivery:queued' AND value > 0"
        )
        with self._database.read() as connection:
            return dict(connection.execute(statement))

    def set_station_status(self, station: str, state: StationState, reason: str, at: float) -> None:
        """Note what a look at the station came to."""
        with self._database.write() as connection:
            stations.set_status(connection, station, state, reason[: turning.MAX_MESSAGE], at)

    def note_probe(self, station: str, seconds: float, answer: str, at: float) -> None:
        """Note how long a probe took and what was answered."""
        with self._database.write() as connection:
            stations.note_probe(connection, station, seconds, answer[: turning.MAX_MESSAGE], at)

    def station_statuses(self) -> Mapping[str, StationStatus]:
        """The status of every station that was ever looked at."""
        with self._database.read() as connection:
            return stations.statuses(connection)

    def set_station_closed(self, station: str, words: str) -> bool:
        """Note why nothing is begun for a station, '' when something is; whether that is new."""
        with self._database.write() as connection:
            return stations.set_closed(connection, station, words)

    def station_events(self, station: str, limit: int = 100) -> tuple[StationEvent, ...]:
        """The changes of a station's status, latest first."""
        with self._database.read() as connection:
            return stations.events_of(connection, station, limit)

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
        with self._database.read() as connection:
            wanted = replace(
                wanted, status=status or wanted.status, station=station or wanted.station
            )
            return tasks.list_tasks(connection, wanted, limit, before, self._clock.now())

    def task(self, task_id: int) -> Task | None:
        """One task."""
        with self._database.read() as connection:
            return tasks.find_task(connection, task_id, self._clock.now())

    def deliveries_of(self, task_id: int, limit: int = 1000) -> tuple[Delivery, ...]:
        """The deliveries of a task, in order of arrival."""
        with self._database.read() as connection:
            return tasks.deliveries_of(connection, task_id, limit)

    def references_of(self, task_id: int, limit: int = 1000) -> tuple[Referenced, ...]:
        """What a task of kind `commit` names, what is not committed first."""
        with self._database.read() as connection:
            return commitment_tasks.referenced(connection, task_id, limit)

    def events_of(self, task_id: int, limit: int = 1000) -> tuple[Event, ...]:
        """The log of a task, oldest first."""
        with self._database.read() as connection:
            return tasks.events_of(connection, task_id, limit)

    def send(
        self,
        instance_ids: Sequence[int],
        owed: Owed,
        at: float,
        move_originator: tuple[str, int] | None = None,
        joining: int | None = None,
    ) -> int:
        """Owe held instances to a station because someone asked; the task id. Raises KeyError."""
        with self._database.write() as connection:
            return tasks.send(connection, instance_ids, owed, at, move_originator, joining)

    def retry(
        self, task_ids: Sequence[int] | None = None, station: str | None = None, by: str = ""
    ) -> int:
        """Queue dead and quarantined deliveries again: of these tasks, or all (of a station)."""
        with self._database.write() as connection:
            return tasks.retry(connection, task_ids, station, by, self._clock.now())

    def note_plan(self, digest: str, revision: str) -> None:
        """Remember the commit a plan was deployed from; the first one that made it counts."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO plan VALUES (?, ?, ?)",
                (digest, revision, self._clock.now()),
            )

    def hold(self, task_ids: Sequence[int], by: str) -> int:
        """Send nothing more of these tasks until they are resumed; how many were not held."""
        with self._database.write() as connection:
            return tasks.hold(connection, task_ids, by, self._clock.now())

    def resume(self, task_ids: Sequence[int], by: str) -> int:
        """Let held tasks go on; how many were held."""
        with self._database.write() as connection:
            return tasks.resume(connection, task_ids, by, self._clock.now())

    def prioritise(self, task_ids: Sequence[int], priority: Priority, by: str) -> int:
        """Another priority for what waits of these tasks; how many tasks had another before."""
        with self._database.write() as connection:
            return tasks.prioritise(connection, task_ids, priority, by, self._clock.now())

    def cancel(self, task_ids: Sequence[int], by: str = "") -> int:
        """Cancel what is still queued of these tasks; how many deliveries."""
        with self._database.write() as connection:
            return tasks.cancel(connection, task_ids, by, self._clock.now())

    def instance(self, instance_id: int) -> Stored | None:
        """One instance."""
        with self._database.read() as connection:
            return instances.by_id(connection, instance_id)

    def find_instances(self, sop_instance_uid: str) -> tuple[Stored, ...]:
        """Every version of a SOP instance, oldest first."""
        with self._database.read() as connection:
            return instances.by_sop_instance(connection, sop_instance_uid)

    def instances_of_study(self, study_instance_uid: str) -> tuple[Stored, ...]:
        """The instances of a study whose bytes are still here, oldest first, no duplicates."""
        with self._database.read() as connection:
            return instances.by_study(connection, study_instance_uid)

    def received_since(
        self, since: float, behind: tuple[str, int], limit: int
    ) -> tuple[Stored, ...]:
        """The next of what arrived since then, by study and then arrival, behind (study, id)."""
        with self._database.read() as connection:
            return instances.received_since(connection, since, behind, limit)

    def deliveries_of_instance(self, instance_id: int) -> tuple[Delivery, ...]:
        """Every delivery an instance is or was owed, oldest first."""
        with self._database.read() as connection:
            return tasks.deliveries_of_instance(connection, instance_id)

    def attempts_of(self, delivery: Delivery) -> tuple[Event, ...]:
        """The events of one delivery, oldest first."""
        with self._database.read() as connection:
            return tasks.attempts_of(connection, delivery.task_id, delivery.delivery_id)

    def held_versions(
        self, study_instance_uid: str, series_instance_uid: str | None = None
    ) -> tuple[HeldVersion, ...]:
        """What may be handed out of a study or series, in order of arrival."""
        with self._database.read() as connection:
            return cataloguing.held_versions(connection, study_instance_uid, series_instance_uid)

    def latest_deliveries(self, instance_ids: Sequence[int], station: str) -> tuple[int, ...]:
        """The latest delivery of each of these instances to the station, where there is one."""
        with self._database.read() as connection:
            return tasks.latest_deliveries(connection, instance_ids, station)

    def delivery_counts(self, delivery_ids: Sequence[int]) -> DeliveryCounts:
        """How far these deliveries are."""
        with self._database.read() as connection:
            return tasks.delivery_counts(connection, delivery_ids)

    def not_delivered(self, delivery_ids: Sequence[int], limit: int) -> tuple[str, ...]:
        """SOP Instance UIDs of those of these deliveries that are not delivered."""
        with self._database.read() as connection:
            return tasks.not_delivered(connection, delivery_ids, limit)

    def held_counts(self, study_instance_uids: Collection[str]) -> tuple[HeldCounts, ...]:
        """How many instances are held of these studies, by series and SOP class."""
        with self._database.read() as connection:
            return cataloguing.held_counts(connection, study_instance_uids)

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """What was booked behind that sequence and may be given, in order."""
        with self._database.read() as connection:
            return cataloguing.changes(connection, after, limit)

    def latest_change(self) -> Change | None:
        """The last of them."""
        with self._database.read() as connection:
            return cataloguing.latest_change(connection)

    def notice_priors(
        self, rules: Collection[str], archives: Collection[str], plan_digest: str, at: float
    ) -> int:
        """See `Ledger`."""
        with self._database.write() as connection:
            return priors.notice(connection, rules, archives, plan_digest, at)

    def due_priors(self, now: float, limit: int = 1) -> tuple[Prior, ...]:
        """See `Ledger`."""
        with self._database.read() as connection:
            return priors.due(connection, now, limit)

    def priors(self, limit: int = 100) -> tuple[Prior, ...]:
        """See `Ledger`."""
        with self._database.read() as connection:
            return priors.listed(connection, limit)

    def ask_priors(self, study_instance_uid: str, rules: Collection[str], *, is_named: bool) -> int:
        """See `Ledger`."""
        with self._database.write() as connection:
            now = self._clock.now()
            return priors.ask(connection, study_instance_uid, rules, now, is_named=is_named)

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
        """See `Ledger`."""
        with self._database.write() as connection:
            message = message[: turning.MAX_MESSAGE]
            priors.settle(connection, prior_id, state, due_at, message, at, tried=tried)

    def held_studies(self, study_instance_uids: Collection[str]) -> tuple[HeldStudy, ...]:
        """See `Ledger`."""
        with self._database.read() as connection:
            return cataloguing.held_studies(connection, study_instance_uids)

    def studies_within(
        self, study_instance_uids: Collection[str], stations: Collection[str]
    ) -> frozenset[str]:
        """Those of these studies of which every instance came from or is owed to these stations."""
        with self._database.read() as connection:
            return cataloguing.studies_within(connection, study_instance_uids, stations)

    def version(self) -> int:
        """See `Ledger`."""
        with self._database.read() as connection:
            connection.execute("SELECT 1 FROM catalogue_mark")  # the pragma alone reads nothing
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def unlisted(self, limit: int) -> Unlisted | None:
        """One instance of each series that the catalogue lacks, among the next `limit`."""
        with self._database.read() as connection:
            return cataloguing.unlisted(connection, limit)

    def put_catalogue(self, mark: int, rows: Sequence[CatalogueRow]) -> None:
        """Write rows of the catalogue, and move its mark."""
        with self._database.write() as connection:
            cataloguing.put(connection, mark, rows)

    def catalogue_after(self, entry_id: int, limit: int) -> tuple[CatalogueRow, ...]:
        """The rows of the catalogue that changed after that entry, in that order."""
        with self._database.read() as connection:
            return cataloguing.following(connection, entry_id, limit)

    def backlog(self) -> Backlog:
        """How much there is to do, and since when."""
        with self._database.read() as connection:
            return watching.backlog(connection, self._clock.now())

    def failures(self, limit: int) -> tuple[Failure, ...]:
        """The tries that failed last, the latest first."""
        with self._database.read() as connection:
            return watching.failures(connection, limit)

    def account(self) -> Account:
        """The balance, counted now."""
        with self._database.read() as connection:
            return accounting.account(connection)

    def owed_records(self, segment: int | None = None) -> tuple[tuple[int, RecordRef], ...]:
        """(instance id, record) of what must not be evicted, in order of place."""
        with self._database.read() as connection:
            return keeping.owed_records(connection, segment)

    def leased_in(self, segment: int) -> bool:
        """Whether a delivery of a record of this segment is being sent."""
        with self._database.read() as connection:
            return keeping.leased_in(connection, segment)

    def newest_in(self, segment: int) -> float | None:
        """When the newest record of the segment arrived; None when it has none."""
        with self._database.read() as connection:
            return keeping.newest_in(connection, segment)

    def drop_segment(self, segment: int, moved: Mapping[int, RecordRef]) -> bool:
        """Forget a segment, with new places for its owed records; false when not all have one."""
        with self._database.write() as connection:
            return keeping.drop_segment(connection, segment, moved)

    def dropped_segments(self) -> tuple[int, ...]:
        """Segments that are forgotten; their files may be deleted."""
        with self._database.read() as connection:
            return keeping.dropped_segments(connection)

    def prune_events(self, before: float) -> int:
        """Delete events of ended tasks older than that; how many."""
        with self._database.write() as connection:
            return keeping.prune_events(connection, before)

    def close(self) -> None:
        """Close it; harmless when closed."""
        self._database.close()
