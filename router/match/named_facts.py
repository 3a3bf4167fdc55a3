"""Facts a rule may ask for by name: who sent an instance, to whom, what it is, and when.

Each is one predicate over Facts: its literals are checked when the rule is compiled (an unknown
station is problem DR201), and `seen` shows people what the instance had.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.dicom.uid_names import uid_for, uid_name, uid_suggestions
from router.match.facts import Facts, parse_address
from router.match.values import text_of
from router.model.plug import PlugError

Predicate = Callable[[Facts], bool]
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_NAMES: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_WINDOW = re.compile(r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)", re.ASCII)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: how it is read, whether patterns apply, and what its literals become.

    `compile` takes the literals as text and the station names, and gives the predicate. It raises
    PlugError whose path begins with the index of the literal.
    """

    name: str
    summary: str
    read: Callable[[Facts], str]
    compile: Callable[[list[str], Collection[str]], Predicate]
    is_text: bool = True


def _each(convert: Callable[[str], Any], literals: list[str]) -> list[Any]:
    converted = []
    for index, literal in enumerate(literals):
        try:
            converted.append(convert(literal))
        except PlugError as error:
            error.path = (index, *error.path)
            raise
    return converted


def _exact(read: Callable[[Facts], str]) -> Callable[[list[str], Collection[str]], Predicate]:
    def compile_exact(literals: list[str], _: Collection[str]) -> Predicate:
        wanted = frozenset(literal.strip() for literal in literals)
        return lambda facts: read(facts) in wanted

    return compile_exact


def _read_station(facts: Facts) -> str:
    return facts.source.station or ""


def _read_calling_ae_title(facts: Facts) -> str:
    return facts.source.calling_ae_title.strip(" ")


def _read_called_ae_title(facts: Facts) -> str:
    return facts.source.called_ae_title.strip(" ")


def _read_listener(facts: Facts) -> str:
    return facts.source.listener


def _read_address(facts: Facts) -> str:
    return facts.source.address


def _read_organization(facts: Facts) -> str:
    return facts.organization


def _read_transfer_syntax(facts: Facts) -> str:
    return facts.transfer_syntax_uid


def _read_sop_class(facts: Facts) -> str:
    return facts.sop_class_uid


def _read_time(facts: Facts) -> str:
    hours, minutes = divmod(facts.local_time[0], 60)
    return f"{hours:02}:{minutes:02}"


def _read_weekday(facts: Facts) -> str:
    return WEEKDAYS[facts.local_time[1]]


def _compile_from(literals: list[str], station_names: Collection[str]) -> Predicate:
    def known(name: str) -> str:
        if name not in station_names:
            near = difflib.get_close_matches(name, sorted(station_names), n=1)
            hint = f"did you mean '{near[0]}'?" if near else ""
            raise PlugError(f"no station is named '{name}'", hint=hint, code="DR201")
        return name

    wanted = frozenset(_each(known, literals))
    return lambda facts: facts.source.station in wanted


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address = parse_address(text)
    if address is not None:
        return ipaddress.ip_network(address)
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise PlugError(
            f"'{text}' is no network address", hint="write 10.1.1.21 or 10.1.0.0/16", code="DR212"
        ) from None
    raise PlugError(
        f"'{text}' has bits set behind its prefix", hint=f"write {network}", code="DR212"
    )


def _compile_address(literals: list[str], _: Collection[str]) -> Predicate:
    networks = tuple(_each(_network, literals))

    def test(facts: Facts) -> bool:
        address = facts.address
        return address is not None and any(address in network for network in networks)

    return test


def _uids(kind: str, read: Callable[[Facts], str]) -> Callable[..., Predicate]:
    def uid(text: str) -> str:
        text = text.strip()
        if _UID.fullmatch(text):
            return text
        found = uid_for(text, kind)
        if not found:
            near = uid_suggestions(text, kind)
            raise PlugError(
                f"'{text}' is no UID and no name of a {kind}",
                hint=f"did you mean '{near[0]}'?" if near else "",
                code="DR212",
            )
        return found

    def compile_uids(literals: list[str], _: Collection[str]) -> Predicate:
        wanted = frozenset(_each(uid, literals))
        return lambda facts: read(facts) in wanted

    return compile_uids


def _window(text: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(text.strip())
    if found is not None:
        start, end = (
            int(found[1]) * 60 + int(found[2]),
            int(found[3]) * 60 + int(found[4]),
        )
        minutes_fit = int(found[2]) < 60 and int(found[4]) < 60
        if minutes_fit and start < 1440 and end <= 1440 and start != end:
            return start, end
    raise PlugError(
        f"'{text}' is no stretch of the day", hint='write "19:00-07:00", in quotes', code="DR212"
    )


def _compile_time(literals: list[str], _: Collection[str]) -> Predicate:
    windows = tuple(_each(_window, literals))

    def test(facts: Facts) -> bool:
        minute = facts.local_time[0]
        return any(
            start <= minute < end if start <= end else minute >= start or minute < end
            for start, end in windows
        )

    return test


def _weekday(text: str) -> int:
    word = text.strip().lower()
    for names in (WEEKDAYS, _DAY_NAMES):
        if word in names:
            return names.index(word)
    raise PlugError(f"'{text}' is no weekday", hint="one of: " + ", ".join(WEEKDAYS), code="DR212")


def _compile_weekday(literals: list[str], _: Collection[str]) -> Predicate:
    wanted = frozenset(_each(_weekday, literals))
    return lambda facts: facts.local_time[1] in wanted


def literal_texts(literals: list[Any]) -> list[str]:
    """What was written for a fact, as texts. Raises PlugError with the index."""
    return _each(text_of, literals)


def show(fact: Fact, facts: Facts) -> str:
    """What the instance has, for people; UIDs with their names."""
    value = fact.read(facts)
    name = uid_name(value) if fact.name in {"sop_class", "transfer_syntax"} else ""
    return f"{value} ({name})" if name else value or "absent"


_ALL: Final = (
    Fact("from", "Name of the station that sent it.", _read_station, _compile_from),
    Fact(
        "calling_ae_title",
        "AE title the sender gave for itself.",
        _read_calling_ae_title,
        _exact(_read_calling_ae_title),
    ),
    Fact(
        "called_ae_title",
        "AE title the sender called us by.",
        _read_called_ae_title,
        _exact(_read_called_ae_title),
    ),
    Fact("listener", "Name of the listener it came in by.", _read_listener, _exact(_read_listener)),
    Fact(
        "address", "Network address of the sender, or a network.", _read_address, _compile_address
    ),
    Fact(
        "organization",
        "The organization of this router.",
        _read_organization,
        _exact(_read_organization),
    ),
    Fact(
        "transfer_syntax",
        "Transfer syntax it came in, UID or name.",
        _read_transfer_syntax,
        _uids("Transfer Syntax", _read_transfer_syntax),
    ),
    Fact(
        "sop_class",
        "SOP class, UID or name.",
        _read_sop_class,
        _uids("SOP Class", _read_sop_class),
    ),
    Fact("time", 'Local time of arrival: "19:00-07:00".', _read_time, _compile_time, is_text=False),
    Fact("weekday", "Local weekday of arrival.", _read_weekday, _compile_weekday, is_text=False),
)
FACTS: Final[Mapping[str, Fact]] = {fact.name: fact for fact in _ALL}
