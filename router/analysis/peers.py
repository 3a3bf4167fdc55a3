"""Which stations are one and the same peer, which are this router, and whom rules name as senders."""

from __future__ import annotations

from collections.abc import Mapping

from router.analysis.attributes import is_single_text
from router.analysis.formula import Alternatives, Atom, Conjunction
from router.config.references import is_loopback
from router.match.named_facts import FACTS
from router.model.listener import Listener
from router.model.plan import Plan
from router.model.station import Station

_WILDCARDS = ("0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound


def identity(station: Station) -> tuple[object, ...]:
    """Equal for stations that are the same peer under different names."""
    if station.kind == "dicomweb":
        return "dicomweb", station.url.rstrip("/").lower()
    if station.kind == "folder":
        return "folder", station.path
    if not station.host:
        return "name", station.name
    host = "localhost" if is_loopback(station.host) else station.host.lower()
    return "dicom", host, station.ae_title


def same_peers(stations: Mapping[str, Station]) -> dict[str, tuple[object, ...]]:
    """The identity of each station by name."""
    return {name: identity(station) for name, station in stations.items()}


def own_listener(plan: Plan, station: Station) -> Listener | None:
    """The listener of this router that a station leads to, as far as its address tells."""
    if station.kind != "dicom" or not station.port:
        return None
    for listener in plan.listeners.values():
        if listener.kind != "dimse" or listener.port != station.port:
            continue
        is_here = station.host == listener.host or (
            is_loopback(station.host)
            and (listener.host in _WILDCARDS or is_loopback(listener.host))
        )
        if is_here and station.ae_title in listener.ae_titles:
            return listener
    return None


def named_senders(form: Alternatives | None) -> tuple[set[str], bool]:
    """The stations a condition names with `from`, and whether it is open to others as well."""
    if form is None:
        return set(), True
    named: set[str] = set()
    is_open = False
    for conjunction in form:
        holds = conjunction.parts.get("from", (frozenset(), frozenset()))[0]
        lists = [_names(atom) for atom in holds if atom.is_listed]
        if lists:
            named |= set.intersection(*lists)
        else:
            is_open = True
    return named, is_open


def fixed_literals(form: Alternatives | None) -> dict[str, frozenset[str]]:
    """By variable: the literals one of which it must be, where it can only be one of its values."""
    by_conjunction = [_fixed(conjunction) for conjunction in form or []]
    if not by_conjunction:
        return {}
    names = set.intersection(*(set(each) for each in by_conjunction))
    return {name: frozenset().union(*(each[name] for each in by_conjunction)) for name in names}


def _fixed(conjunction: Conjunction) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for variable, (holds, _) in conjunction.parts.items():
        if variable == "from" or (variable not in FACTS and is_single_text(variable)):
            for atom in holds:
                if atom.is_listed:
                    found[variable] = frozenset(_names(atom))
    return found


def _names(atom: Atom) -> set[str]:
    return set(map(str, atom.values))
