"""Replay: one accepted instance through two plans, by the engine that routes arriving ones.

Who sent it is decided anew under each plan (`admission.admit`), from the address and AE titles of
its association; time and weekday are those of its reception. A listener that only got another name
is found again by its address. What recipes write is compared by running both over the header.
Certificates are not tried: whether a peer would still pass TLS is not foretold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from router.dimse.handlers import Calling
from router.errors import BadDataset
from router.flow.admission import admit
from router.flow.explain import OwedTold, Subject, routed_as, tell_owed
from router.flow.received import ReceiveHooks, assumed_character_set, context_of
from router.model.instance import RETRIEVED, Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.rule import Owed

NOT_ADMITTED: Final = "not admitted"
_MAX_CALLERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an instance under one plan.

    `outcome` is a disposition, `refused` (by a rule or for its bytes) or `not admitted`; `stations`
    are those that get it, or may in the place of another (`first_of`), each once.
    """

    outcome: str
    owed: tuple[Owed, ...] = ()

    @property
    def stations(self) -> tuple[str, ...]:
        """Where it goes, in order of names."""
        return tuple(sorted({each.station for one in self.owed for each in one.alternatives}))


@dataclass(frozen=True, slots=True)
class ValueChange:
    """An attribute that leaves for a station with another value than it does now."""

    station: str
    tag: str
    keyword: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One instance under both plans. `failures` are (station, reason) of recipes that fail newly."""

    before: Fate
    after: Fate
    values: tuple[ValueChange, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anybody would see a difference."""
        moved = (self.before.outcome, _sent(self.before)) != (self.after.outcome, _sent(self.after))
        return moved or bool(self.values or self.failures)


def _sent(fate: Fate) -> list[tuple[str, int]]:
    """Stations, as often as they get a copy, and how urgently."""
    return sorted((shown_stations(one), int(one.priority)) for one in fate.owed)


def shown_stations(owed: Owed) -> str:
    """The station it goes to, and those that may get it in its place, as people read them."""
    return " or ".join(one.station for one in owed.alternatives)


class Side:
    """One of the two plans: who its peers are, and what it makes of an instance."""

    def __init__(
        self,
        plan: Plan,
        mapping_key: bytes,
        morphs: Mapping[str, Morph],
        renamed: Mapping[str, str],
    ) -> None:
        """`renamed`: the name this plan has for listeners of the other one."""
        self._hooks = ReceiveHooks(morphs, mapping_key)
        self.plan = plan
        self.mapping_key = mapping_key
        self._renamed = renamed
        self._callers: dict[Source, Source | None] = {}

    def subject(self, subject: Subject) -> Subject | None:
        """The data set as this plan would get it; None when its sender is not admitted."""
        source = self._source(subject.source)
        return None if source is None else replace(subject, source=source)

    def fate(self, subject: Subject) -> Fate:
        """What routing makes of it, as intake answers: a header no rule can read is kept."""
        try:
            decision = routed_as(self.plan, subject, self._hooks).decision
        except BadDataset:
            return Fate("refused")
        if decision.refusal is not None:
            return Fate("refused")
        return Fate(decision.disposition.value, decision.owed)

    def _source(self, source: Source) -> Source | None:
        if source.listener == RETRIEVED:
            return source if source.station in self.plan.stations else None
        known = replace(source, station=None)
        if known not in self._callers:
            if len(self._callers) >= _MAX_CALLERS:
                self._callers.clear()
            self._callers[known] = self._admitted(known)
        return self._callers[known]

    def _admitted(self, source: Source) -> Source | None:
        listener = self._renamed.get(source.listener, source.listener)
        if listener not in self.plan.listeners:
            return None
        calling = Calling(
            listener,
            source.calling_ae_title,
            source.called_ae_title,
            source.address,
            source.tls_subject,
        )
        found = admit(self.plan, calling)
        return found if isinstance(found, Source) else None


class Replay:
    """Two plans, and the steps of this installation. For one thread."""

    def __init__(
        self,
        running: tuple[Plan, bytes],
        candidate: tuple[Plan, bytes],
        morphs: Mapping[str, Morph],
    ) -> None:
        """Each plan comes with its mapping key; b'' where keyed values are not to be compared."""
        self._running = Side(*running, morphs, {})
        self._candidate = Side(*candidate, morphs, _renamed(running[0], candidate[0]))
        self._morphs = morphs

    def compare(self, subject: Subject) -> Compared:
        """The instance under both plans; the station of its source is decided anew.

        Raises whatever reading its bytes raises, but never BadDataset.
        """
        before_subject = self._running.subject(subject)
        after_subject = self._candidate.subject(subject)
        if before_subject is None or after_subject is None:
            return Compared(
                _fate_of(self._running, before_subject), _fate_of(self._candidate, after_subject)
            )
        before, after = self._running.fate(before_subject), self._candidate.fate(after_subject)
        values, failures = self._outgoing(before, after, before_subject, after_subject)
        return Compared(before, after, values, failures)

    def _outgoing(
        self, before: Fate, after: Fate, before_subject: Subject, after_subject: Subject
    ) -> tuple[tuple[ValueChange, ...], tuple[tuple[str, str], ...]]:
        same = self._circumstances(self._running, before_subject) == self._circumstances(
            self._candidate, after_subject
        )
        values: list[ValueChange] = []
        failures: list[tuple[str, str]] = []
        for station in after.stations:
            old = _by_recipe(before, station)
            new = _by_recipe(after, station)
            if same:
                both = old.keys() & new.keys()
                old = {digest: one for digest, one in old.items() if digest not in both}
                new = {digest: one for digest, one in new.items() if digest not in both}
            for was, will in zip_longest(old.values(), new.values()):
                told_was = self._told(self._running, before_subject, was)
                told_will = self._told(self._candidate, after_subject, will)
                if told_will is not None and told_will.failure:
                    if told_was is None or told_was.failure != told_will.failure:
                        failures.append((station, told_will.failure))
                elif told_was is not None and told_will is not None and not told_was.failure:
                    values += _values(station, told_was, told_will)
        return tuple(values), tuple(failures)

    def _told(self, side: Side, subject: Subject, owed: Owed | None) -> OwedTold | None:
        if owed is None:
            return None
        return tell_owed(side.plan, subject, owed, self._morphs, side.mapping_key)

    @staticmethod
    def _circumstances(side: Side, subject: Subject) -> object:
        """All that a recipe's outcome may depend on besides the bytes."""
        context = context_of(side.plan, subject.source, subject.received_at, side.mapping_key)
        return context, assumed_character_set(side.plan, subject.source)


def _fate_of(side: Side, subject: Subject | None) -> Fate:
    return Fate(NOT_ADMITTED) if subject is None else side.fate(subject)


def _by_recipe(fate: Fate, station: str) -> dict[str, Owed]:
    each = [alternative for one in fate.owed for alternative in one.alternatives]
    return {one.recipe.digest: one for one in each if one.station == station}


def _values(station: str, was: OwedTold, will: OwedTold) -> list[ValueChange]:
    """Where the outgoing values differ; what a recipe does not touch leaves as it came."""
    old = {change.tag: change for change in was.changes}
    new = {change.tag: change for change in will.changes}
    found: list[ValueChange] = []
    for tag in [*new, *(tag for tag in old if tag not in new)]:
        change = new.get(tag) or old[tag]
        before = old[tag].after if tag in old else change.before
        after = new[tag].after if tag in new else change.before
        if before != after:
            found.append(ValueChange(station, tag, change.keyword, before, after))
    return found


def _renamed(running: Plan, candidate: Plan) -> dict[str, str]:
    """Listeners that are gone by name, and the candidate's one on the same port."""
    by_port = {one.port: one.name for one in candidate.listeners.values() if one.kind == "dimse"}
    return {
        name: by_port[one.port]
        for name, one in running.listeners.items()
        if name not in candidate.listeners and one.port in by_port
    }
