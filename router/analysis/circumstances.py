"""Whether a sender, a moment, a kind of object can be for which these facts hold and those do not.

Facts have few values: the stations, the listeners, the minutes of a day. Who sent it is one
question for three facts, because a station that speaks DIMSE has one AE title and mostly one
address. Where texts are free (a listener that accepts anyone) the patterns decide.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.analysis import expressions
from router.analysis.answers import NO, UNKNOWN, Answer, Can
from router.analysis.expressions import Tree
from router.analysis.formula import LISTED, Atom, Both
from router.analysis.language import Walker
from router.dicom.uid_names import uid_for
from router.match.facts import Facts, parse_address
from router.match.named_facts import FACTS, Predicate, literal_texts
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Operator, PlugError
from router.model.station import Station

SENDER: Final = ("from", "calling_ae_title", "address")
_NEUTRAL_UIDS: Final = {
    "sop_class": ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"),
    "transfer_syntax": ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"),
}
_UID_KINDS: Final = {"sop_class": "SOP Class", "transfer_syntax": "Transfer Syntax"}
# A Monday at noon, so that nothing is said of nights and weekends without need.
_MONDAY: Final = (2026, 11, 23)
_NO_ATOMS: Final[Both] = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Sender:
    """Who might send: `station` is None for one we do not know."""

    station: str | None
    calling_ae_title: str
    address: str


_NOBODY: Final = Sender(None, "", "")
_Known = tuple[Sender, Station | None]


class Circumstances:
    """Answers about facts, under one plan."""

    def __init__(self, plan: Plan, operators: Mapping[str, Operator], walker: Walker) -> None:
        self._walker = walker
        self._plan = plan
        self._operators = operators
        self._predicates: dict[Atom, Predicate | None] = {}
        known = [each for each in plan.stations.values() if each.kind == "dicom" and each.active]
        # Those that only send first.
        self._senders = [
            (Sender(each.name, each.ae_title, each.host), each)
            for each in sorted(known, key=lambda station: station.send)
        ]
        self._sent = [(station.name, self._facts(sender)) for sender, station in self._senders]
        self._standing: dict[Atom, tuple[frozenset[str], frozenset[str]]] = {}

    def sender(self, parts: Mapping[str, Both]) -> Answer:
        """Someone for whom the parts about `from`, `calling_ae_title` and `address` hold."""
        if any(holds & fails for holds, fails in parts.values()):
            return NO
        best = NO
        for sender, station in self._stations(parts):
            answer = self._as_station(sender, station, parts)
            if answer.can is Can.YES:
                return answer
            best = answer if answer.can is Can.UNKNOWN else best
        return best

    def _stations(self, parts: Mapping[str, Both]) -> Iterator[_Known]:
        """Those worth asking, and nobody we know where no name is asked for."""
        named = [set(_literals(atom)) for atom in parts.get("from", _NO_ATOMS)[0] if atom.is_listed]
        if named:
            for name in sorted(set.intersection(*named)):
                station = self._plan.stations.get(name)
                title, host = (station.ae_title, station.host) if station else ("", "")
                yield Sender(name, title, host), station
            return
        names = {sender.station for sender, _ in self._senders}
        for holds, fails in parts.values():
            for atom in holds:
                names &= frozenset.union(*self._stand(atom))
            for atom in fails:
                names -= self._stand(atom)[0]
        yield from (known for known in self._senders if known[0].station in names)
        yield _NOBODY, None

    def _stand(self, atom: Atom) -> tuple[frozenset[str], frozenset[str]]:
        """The known senders for which it holds, and those of which nothing can be said.

        Kept, so that a thousand rules about a thousand stations ask each question once.
        """
        if atom not in self._standing:
            predicate = self._predicate(atom)
            holding, open_ones = set(), set()
            for name, facts in self._sent:
                if predicate is None or (atom.variable == "address" and facts.address is None):
                    open_ones.add(name)
                elif predicate(facts):
                    holding.add(name)
            self._standing[atom] = frozenset(holding), frozenset(open_ones)
        return self._standing[atom]

    def _as_station(
        self, sender: Sender, station: Station | None, parts: Mapping[str, Both]
    ) -> Answer:
        if not self._agrees(parts.get("from", _NO_ATOMS), sender):
            return NO
        is_fixed = station is not None and station.kind == "dicom"
        title = Answer(Can.YES, sender.calling_ae_title)
        if "calling_ae_title" in parts and not is_fixed:
            title = self._free_text(parts["calling_ae_title"], "ANYONE", sender, "calling_ae_title")
        elif not self._agrees(parts.get("calling_ae_title", _NO_ATOMS), sender):
            return NO
        place = Answer(Can.YES, sender.address or "192.0.2.1")
        has_address = is_fixed and parse_address(sender.address) is not None
        if "address" in parts and not has_address:
            place = self._free_address(parts["address"], sender)
        elif not self._agrees(parts.get("address", _NO_ATOMS), sender):
            return NO
        for answer in (title, place):
            if answer.can is not Can.YES:
                return answer
        found = replace(
            sender, calling_ae_title=title.value or "ANYONE", address=_literal(place.value)
        )
        return Answer(Can.YES, found)

    def other(self, variable: str, both: Both) -> Answer:
        """A value of any other fact."""
        if both[0] & both[1]:
            return NO
        if variable in _NEUTRAL_UIDS:
            return self._free_text(both, "", _NOBODY, variable)
        for value in self._values(variable):
            if self._agrees(both, _NOBODY, **{variable: value}):
                return Answer(Can.YES, value)
        return NO if self._is_understood(both) else UNKNOWN

    def _values(self, variable: str) -> Iterable[Any]:
        plan = self._plan
        if variable == "listener":
            return [name for name, each in plan.listeners.items() if each.kind != "http"]
        if variable == "organization":
            return [plan.router.organization]
        if variable == "called_ae_title":
            titles = [title for each in plan.listeners.values() for title in each.ae_titles]
            return list(dict.fromkeys([*titles, plan.router.ae_title]))
        if variable == "weekday":
            return range(7)
        return [*range(720, 1440), *range(720)] if variable == "time" else []

    def _free_text(self, both: Both, neutral: str, sender: Sender, variable: str) -> Answer:
        kind = _UID_KINDS.get(variable, "")
        candidates = [neutral, *_NEUTRAL_UIDS.get(variable, ())]
        candidates += [
            _uid(text, kind) for atom in sorted(both[0] | both[1]) for text in _literals(atom)
        ]
        for text in filter(None, candidates):
            if self._agrees(both, sender, **{variable: text}):
                return Answer(Can.YES, text)
        needed, refused = ([_tree(atom, kind) for atom in sorted(atoms)] for atoms in both)
        if None in needed or None in refused:
            return UNKNOWN
        found = self._walker.find(
            [each for each in needed if each], [each for each in refused if each]
        )
        if isinstance(found, str) and self._agrees(both, sender, **{variable: found}):
            return Answer(Can.YES, found)
        return NO if found is False else UNKNOWN

    def _free_address(self, both: Both, sender: Sender) -> Answer:
        candidates = ["192.0.2.1"]
        for atom in sorted(both[0] | both[1]):
            for text in _literals(atom):
                network = ipaddress.ip_network(text.strip(), strict=False)
                first, last = int(network[0]), int(network[-1])
                make = type(network[0])
                near = (first + 1, first, last, first - 1, last + 1)
                most = 2**network.max_prefixlen
                candidates += [str(make(number)) for number in near if 0 <= number < most]
        for text in candidates:
            if self._agrees(both, sender, address=text):
                return Answer(Can.YES, text)
        return NO if self._is_understood(both, LISTED) else UNKNOWN

    def _is_understood(self, both: Both, operators: frozenset[str] = frozenset()) -> bool:
        return all(
            self._predicate(atom) is not None and (not operators or atom.operator in operators)
            for atom in sorted(both[0] | both[1])
        )

    def _agrees(self, both: Both, sender: Sender, **more: Any) -> bool:
        facts = self._facts(sender, **more)
        holds = [self._predicate(atom) for atom in both[0]]
        fails = [self._predicate(atom) for atom in both[1]]
        if None in holds or None in fails:
            return False
        return all(each(facts) for each in holds if each) and not any(
            each(facts) for each in fails if each
        )

    def _facts(self, sender: Sender, **more: Any) -> Facts:
        source = Source(
            listener=more.get("listener", ""),
            calling_ae_title=more.get("calling_ae_title", sender.calling_ae_title),
            called_ae_title=more.get("called_ae_title", ""),
            address=more.get("address", sender.address),
            station=sender.station,
        )
        return Facts(
            header=_NoHeader(),
            source=source,
            transfer_syntax_uid=more.get("transfer_syntax", ""),
            sop_class_uid=more.get("sop_class", ""),
            received_at=moment(more.get("time", 720), more.get("weekday", 0)),
            organization=more.get("organization", ""),
        )

    def _predicate(self, atom: Atom) -> Predicate | None:
        if atom not in self._predicates:
            self._predicates[atom] = self._compiled(atom)
        return self._predicates[atom]

    def _compiled(self, atom: Atom) -> Predicate | None:
        fact = FACTS[atom.variable]
        try:
            if atom.is_listed:
                return fact.compile(list(_literals(atom)), self._plan.stations)
            test: Callable[[Any], bool] = self._operators[atom.operator].compile(atom.value, None)
        except (PlugError, KeyError):
            return None
        return lambda facts: test((fact.read(facts),))


class _NoHeader:
    """Facts read no attribute."""

    def get(self, path: Any) -> None:  # noqa: ARG002 - as Header
        return None


def moment(minute: int, weekday: int) -> float:
    """A time of arrival: that minute of the local day on that weekday (Monday is 0)."""
    year, month, day = _MONDAY
    return time.mktime((year, month, day + weekday, minute // 60, minute % 60, 0, 0, 0, -1))


def _uid(text: str, kind: str) -> str:
    return (uid_for(text, kind) or text.strip()) if kind else text.strip()


def _literals(atom: Atom) -> list[str]:
    return literal_texts(atom.values) if atom.is_listed else []


def _literal(address: str) -> str:
    return address if parse_address(address) is not None else "192.0.2.1"


def _tree(atom: Atom, kind: str) -> Tree | None:
    if atom.is_listed:
        return ("alt", *(expressions.whole_text(_uid(text, kind)) for text in _literals(atom)))
    if atom.operator == "glob":
        return expressions.glob(str(atom.value))
    return expressions.regex(str(atom.value)) if atom.operator == "regex" else None
