"""Counters and gauges of one process, and how several processes are read as one.

Each role process keeps its own registry and publishes it, once a second, as a file in the run
folder; whoever serves `/metrics` reads all of them and adds equal series up. Labels are names from
the configuration and words of ours: no patient attribute, no UID, nothing a peer chose.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "dicom_router"
_RETIRED = "retired"
_TIMESTAMP = "_timestamp_seconds"


class Series:
    """One counter with labels. Its children are kept: finding one costs more than counting."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._children: dict[tuple[str, ...], Counter] = {}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Count so many more under these label values."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._counter.labels(*labels)
        child.inc(amount)


class Metrics:
    """The series one process counts. Seconds, bytes and plain counts, as their names say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instances_received = self._counter(
            "instances_received",
            "Instances that arrived, by who sent them, SOP class and how they ended.",
            "station",
            "sop_class",
            "outcome",
        )
        self.received_bytes = self._counter(
            "received_bytes", "Bytes of accepted data sets.", "station"
        )
        self.rejection_notes = self._counter(
            "rejection_notes", "Rejection notes that were accepted, by their title.", "code"
        )
        self.rule_matches = self._counter("rule_matches", "Instances a rule matched.", "rule")
        self.associations = self._counter(
            "associations", "Associations asked for, by listener and result.", "listener", "result"
        )
        self.connections_refused = self._counter(
            "connections_refused",
            "Connections that came to no association, by listener and reason.",
            "listener",
            "reason",
        )
        self.associations_open = Gauge(
            f"{_PREFIX}_associations_open",
            "Associations open now.",
            ["listener"],
            registry=self.registry,
        )
        self._count_commitments()
        self._measure_stations()
        self._count_telling()
        self.web_refused = self._counter(
            "web_refused", "HTTP requests refused before they were looked at, by reason.", "reason"
        )
        self.rule_evaluation_seconds = Histogram(
            f"{_PREFIX}_rule_evaluation_seconds",
            "Time to decide where an instance goes.",
            buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1),
            registry=self.registry,
        )
        self.heartbeat_last_success = Gauge(
            f"{_PREFIX}_heartbeat_last_success_timestamp_seconds",
            "When a station last answered a heartbeat, or took an instance.",
            ["station"],
            registry=self.registry,
        )
        self.token_refreshes = self._counter(
            "oauth_token_refresh",
            "Access tokens asked for, by station and outcome.",
            "station",
            "outcome",
        )
        self.cache_requests = self._counter(
            "cache_requests",
            "Objects asked for, by whether they were held here, fetched, or fetched once more.",
            "result",
        )
        self.prefetch_items = self._counter(
            "prefetch_items", "What was wanted here before somebody asks, by result.", "result"
        )
        self.prefetched_objects = self._counter(
            "prefetched_objects", "Objects of what was wanted, by result.", "result"
        )
        self.keys_rewrapped = self._counter(
            "keys_rewrapped", "Data keys wrapped anew after a rotation, by where.", "where"
        )
        self.index_queue = Gauge(
            f"{_PREFIX}_index_queue",
            "Accepted records the ledger has not indexed yet.",
            registry=self.registry,
        )

    def _count_commitments(self) -> None:
        self.commitments_asked = self._counter(
            "commitments_asked",
            "Storage commitments asked of us, by station and what became of the request.",
            "station",
            "result",
        )
        self.commitments_reported = self._counter(
            "commitments_reported",
            "Reports of storage commitment to stations, by station and result.",
            "station",
            "result",
        )
        self.commitments_requested = self._counter(
            "commitments_requested",
            "Storage commitments we asked of stations, by station and result.",
            "station",
            "result",
        )
        self.commitments_received = self._counter(
            "commitments_received",
            "Instances that stations reported on, by station and what became of the delivery.",
            "station",
            "result",
        )

    def _measure_stations(self) -> None:
        self.send_attempts = self._counter(
            "send_attempts", "Deliveries tried, by station and result.", "station", "result"
        )
        self.sent_bytes = self._counter("sent_bytes", "Bytes of delivered data sets.", "station")
        self.send_seconds = Histogram(
            f"{_PREFIX}_send_seconds",
            "Time from a delivery's lease to its outcome.",
            ["station"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.priors = self._counter("priors", "Looks for earlier studies, by result.", "result")
        self.probes = self._counter(
            "station_probes", "Heartbeats, by station and result.", "station", "result"
        )
        self.station_changes = self._counter(
            "station_changes",
            "Changes of a station's status, by what it became.",
            "station",
            "state",
        )

    def _count_telling(self) -> None:
        self.audit_events = self._counter(
            "audit_events", "Messages written into the audit trail, by event.", "event"
        )
        self.audit_lost = self._counter(
            "audit_lost", "Events the audit trail could not take; must be 0.", "event"
        )
        self.audit_shipped = self._counter(
            "audit_shipped", "Messages shipped to the audit receiver, by result.", "result"
        )
        self.webhook_messages = self._counter(
            "webhook_messages", "Messages to webhooks, by hook and result.", "webhook", "result"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Series:
        return Series(Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry))

    def text(self) -> bytes:
        """Everything counted so far, in the exposition format."""
        return generate_latest(self.registry)


def publish(folder: Path, role: str, metrics: Metrics) -> None:
    """Write this process's series where `merged` finds them; replaces the last ones at once."""
    target = folder / f"{role}.prom"
    fresh = folder / f".{role}.{os.getpid()}"
    fresh.write_bytes(metrics.text())
    fresh.replace(target)


def published_ages(folder: Path) -> dict[str, float]:
    """Seconds since each role last published: a role that hangs stops publishing."""
    now = time.time()
    ages: dict[str, float] = {}
    for path in sorted(folder.glob("*.prom")):
        try:
            age = max(0.0, now - path.stat().st_mtime)
        except FileNotFoundError:
            continue
        role = path.stem.partition("@")[0]
        if role != _RETIRED:
            ages[role] = min(age, ages.get(role, age))
    return ages


def absorb(folder: Path, process: str) -> None:
    """Add what an ended process counted to what all ended ones did, and take its file away.

    Counters go on rising when roles are replaced; gauges end with their process. Whoever adds up
    sees it before or after, never between. Raises OSError.
    """
    path, target = folder / f"{process}.prom", folder / f"{_RETIRED}.prom"
    with _steady(folder, fcntl.LOCK_EX):
        if not path.exists():
            return
        families = _summed(one for one in (target, path) if one.exists())
        counted = [family for family in families if family.type != "gauge"]
        registry = CollectorRegistry()
        registry.register(_Merged(counted))
        fresh = folder / f".{_RETIRED}.new"
        fresh.write_bytes(generate_latest(registry))
        fresh.replace(target)
        path.unlink()


@contextmanager
def _steady(folder: Path, lock: int) -> Iterator[None]:
    """No file comes to stand for another, or goes, while this is held (a lock of `fcntl.flock`)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def _published(folder: Path) -> list[Metric]:
    """The families of all processes, those that ended among them; none before the first start."""
    if not folder.is_dir():
        return []
    with _steady(folder, fcntl.LOCK_SH):
        return _summed(sorted(folder.glob("*.prom")))


@dataclass(frozen=True, slots=True)
class Gauges:
    """One family of gauges read from somewhere else: a value for each row of label values."""

    name: str
    text: str
    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], float], ...]


class _Merged:
    """A collector over families that are already built."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus_client asks for them."""
        yield from self._families


def merged(folder: Path, own: Iterable[Gauges] = ()) -> bytes:
    """The series of all processes added up, with `own` gauges appended."""
    families = {family.name: family for family in _published(folder)}
    for gauges in own:
        family = GaugeMetricFamily(f"{_PREFIX}_{gauges.name}", gauges.text, labels=gauges.labels)
        for row, value in gauges.rows:
            family.add_metric(row, value)
        families[family.name] = family
    registry = CollectorRegistry()
    registry.register(_Merged(families.values()))
    return generate_latest(registry)


def counted(folder: Path) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The samples of all processes added up: value by labels by name."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in _published(folder):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = float(sample.value)
    return found


def _summed(paths: Iterable[Path]) -> list[Metric]:
    """The families of these files, equal series added up; of points in time the latest."""
    families: dict[str, Metric] = {}
    values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for path in paths:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                key = (family.name, sample.name, tuple(sorted(sample.labels.items())))
                value = float(sample.value)
                before = values.get(key, 0.0)
                is_time = sample.name.endswith(_TIMESTAMP)
                values[key] = max(before, value) if is_time else before + value
    for (name, sample_name, labels), value in values.items():
        families[name].add_sample(sample_name, dict(labels), value)
    return list(families.values())
