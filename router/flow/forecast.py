"""Forecast: what another plan would have done with all that arrived lately, added up.

Records are streamed from the ledger study by study and read where they lie, sealed, in the journal;
of each no more than its header is opened, and nothing of it is kept. Memory is bounded: a study at a
time, and of tables their first rows with a count of the rest. Values of attributes are masked
before they are kept here (`masked`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from router.flow.explain import Subject
from router.flow.replay import Compared, Fate, Replay, ValueChange, shown_stations
from router.model.delivery import Disposition
from router.morph.confidentiality import table
from router.store.envelope import decode
from router.store.ledger import SEND_PREFIX, Ledger, Stored
from router.store.records import Journal, RecordDamaged

PAGE: Final = 500
# What `describe_changes` shows in place of a value.
_NO_VALUE: Final = re.compile(r"(?:absent|empty|\([A-Z]{2}\)|\(too long to show\))?\Z")
MAX_ROWS: Final = 1000
# A first character says little only of what is at least so long.
MIN_SHOWN: Final = 4

# Why an instance was not replayed.
EVICTED: Final = "evicted"
DUPLICATE: Final = "duplicate"
BY_HAND: Final = "sent by hand"
DAMAGED: Final = "damaged"


@dataclass(slots=True)
class StudyChange:
    """A study of which something changes. `routes` counts instances by (outcome, stations) pairs."""

    study_instance_uid: str
    instances: int = 0
    changed: int = 0
    sources: set[str] = field(default_factory=set)
    routes: Counter[tuple[str, str]] = field(default_factory=Counter)
    attributes: set[str] = field(default_factory=set)


@dataclass(slots=True)
class AttributeChange:
    """An attribute that leaves for a station with other values; one masked pair as an example."""

    station: str
    tag: str
    keyword: str
    before: str
    after: str
    instances: int = 0


@dataclass(slots=True)
class Load:
    """What a station gets under both plans: deliveries, and bytes as they were received.

    Of a `first_of` the first station gets them: whether it can is not foretold.
    """

    deliveries_before: int = 0
    bytes_before: int = 0
    deliveries_after: int = 0
    bytes_after: int = 0


@dataclass(slots=True)
class Forecast:
    """The sum. `beyond` counts rows of a table that found no room, by the table's name."""

    replayed: int = 0
    changed: int = 0
    not_replayed: Counter[str] = field(default_factory=Counter)
    outcomes_before: Counter[str] = field(default_factory=Counter)
    outcomes_after: Counter[str] = field(default_factory=Counter)
    becomes_unmatched: int = 0
    stations: dict[str, Load] = field(default_factory=dict)
    studies: list[StudyChange] = field(default_factory=list)
    attributes: dict[tuple[str, str], AttributeChange] = field(default_factory=dict)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)


def forecast(
    replay: Replay,
    journal: Journal,
    ledger: Ledger,
    since: float,
    max_studies: int,
    seen: Callable[[int], None] = lambda _: None,
) -> Forecast:
    """Replay what arrived since then (seconds since the epoch). Raises StoreDown.

    `seen` is told now and then how many were looked at.
    """
    found = Forecast()
    study = StudyChange("")
    for number, stored in enumerate(received_since(ledger, since), start=1):
        if number % PAGE == 0:
            seen(number)
        if stored.instance.study_instance_uid != study.study_instance_uid:
            _close(found, study, max_studies)
            study = StudyChange(stored.instance.study_instance_uid)
        compared = _replayed(replay, journal, ledger, stored, found)
        if compared is not None:
            _add(found, study, stored, compared)
    _close(found, study, max_studies)
    return found


def received_since(ledger: Ledger, since: float) -> Iterator[Stored]:
    """All that arrived since then, by study; a page of the ledger at a time."""
    behind = ("", 0)
    while page := ledger.received_since(since, behind, PAGE):
        yield from page
        behind = (page[-1].instance.study_instance_uid, page[-1].instance_id)


def masked(tag: str, keyword: str, value: str) -> str:
    """A value as it may be shown: what the table of de-identification names is masked.

    So is what is private or in an item. A masked value is its first character and its length, of
    short ones the length alone. UIDs stay: they are how people look an object up.
    """
    if _NO_VALUE.match(value):
        return value
    if keyword.endswith("UID") or not _identifies(tag, keyword):
        return value
    first = value[0] if len(value) >= MIN_SHOWN else ""
    return f"{first}… ({len(value)} characters)"


def _identifies(tag: str, keyword: str) -> bool:
    if not keyword or not tag.startswith("("):
        return True
    group, element = tag[1:-1].split(",")
    return table().row(int(group + element, 16)) is not None


def _replayed(
    replay: Replay, journal: Journal, ledger: Ledger, stored: Stored, found: Forecast
) -> Compared | None:
    if stored.disposition is Disposition.DUPLICATE:
        found.not_replayed[DUPLICATE] += 1
        return None
    try:
        return _compare(replay, journal, stored, found)
    except RecordDamaged:
        # It may have been copied forward, or evicted, since its page was read.
        again = ledger.instance(stored.instance_id)
        try:
            if again is not None and again.record != stored.record:
                return _compare(replay, journal, again, found)
        except RecordDamaged:
            pass
        found.not_replayed[DAMAGED] += 1
        return None


def _compare(replay: Replay, journal: Journal, stored: Stored, found: Forecast) -> Compared | None:
    if stored.record is None:
        found.not_replayed[EVICTED] += 1
        return None
    record = journal.open(stored.record)
    try:
        envelope = decode(record.envelope())
        if any(owed.rule.startswith(SEND_PREFIX) for owed in envelope.decision.owed):
            found.not_replayed[BY_HAND] += 1
            return None
        instance = envelope.instance
        return replay.compare(
            Subject(
                record.read,
                record.length,
                instance.transfer_syntax_uid,
                instance.sop_class_uid,
                instance.source,
                instance.received_at,
                is_held=True,
            )
        )
    finally:
        record.close()


def _add(found: Forecast, study: StudyChange, stored: Stored, compared: Compared) -> None:
    before, after = compared.before, compared.after
    length = stored.instance.data_set_length
    found.replayed += 1
    found.outcomes_before[before.outcome] += 1
    found.outcomes_after[after.outcome] += 1
    unmatched = Disposition.UNMATCHED.value
    found.becomes_unmatched += after.outcome == unmatched and before.outcome != unmatched
    for one in before.owed:
        load = found.stations.setdefault(one.station, Load())
        load.deliveries_before += 1
        load.bytes_before += length
    for one in after.owed:
        load = found.stations.setdefault(one.station, Load())
        load.deliveries_after += 1
        load.bytes_after += length
    study.instances += 1
    if not compared.differs:
        return
    found.changed += 1
    study.changed += 1
    source = stored.instance.source
    study.sources.add(source.station or source.calling_ae_title)
    old, new = _route(before), _route(after)
    if old != new:
        study.routes[old, new] += 1
    _add_values(found, study, compared)


def _add_values(found: Forecast, study: StudyChange, compared: Compared) -> None:
    for value in compared.values:
        key = (value.station, value.tag)
        if key not in found.attributes:
            if len(found.attributes) >= MAX_ROWS:
                found.beyond["attributes"] += 1
                continue
            found.attributes[key] = _first(value)
        found.attributes[key].instances += 1
        study.attributes.add(f"{value.station}: {value.keyword or value.tag}")
    for failure in compared.failures:
        if failure in found.failures or len(found.failures) < MAX_ROWS:
            found.failures[failure] += 1
        else:
            found.beyond["failures"] += 1


def _first(value: ValueChange) -> AttributeChange:
    before, after = (masked(value.tag, value.keyword, one) for one in (value.before, value.after))
    return AttributeChange(value.station, value.tag, value.keyword, before, after)


def _route(fate: Fate) -> str:
    """Destinations as people read them, with the priority where it is not the usual one."""
    if not fate.owed:
        return fate.outcome
    names = sorted(
        shown_stations(one) + ("" if one.priority.word == "medium" else f" ({one.priority.word})")
        for one in fate.owed
    )
    return ", ".join(names)


def _close(found: Forecast, study: StudyChange, max_studies: int) -> None:
    if study.changed and len(found.studies) < max_studies:
        found.studies.append(study)
    elif study.changed:
        found.beyond["studies"] += 1
