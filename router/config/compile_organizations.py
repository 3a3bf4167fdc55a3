"""Meaning of `organizations` and `defaults`: who stands under whom, what stations have from them.

A station has what it writes itself; what it leaves out it has from its organization, then from the
one above that, and so on; then from `defaults`; then from the language. Mappings such as `heartbeat`
join key by key. A setting that the station's kind does not know is not inherited.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.config.context import Context
from router.config.nodes import Entry, Mapping, Node, node_at, plain, show_path
from router.config.shapes_organizations import ORGANIZATION
from router.config.shapes_router import DEFAULTS
from router.config.suggest import did_you_mean
from router.model.organization import Organization, lineage
from router.model.station import Setting

_LONGEST_NAME: Final = 64


@dataclass(slots=True)
class Organizations:
    """Section `organizations`. `home` is whose a station is that names none: the router's own."""

    home: str
    known: dict[str, Organization] = field(default_factory=dict)
    defaults: dict[str, Mapping] = field(default_factory=dict)

    def inherited(
        self, name: str, own: Mapping, properties: AnyMapping[str, Any]
    ) -> tuple[Mapping, tuple[Setting, ...]]:
        """A station of the organization with what it inherits, and every setting with its origin.

        `properties` are the shapes of the keys that its kind knows.
        """
        joined, origins = own, dict[int, str]()
        for above in (*lineage(self.known, name), ""):
            if above in self.defaults:
                joined = _joined(joined, self.defaults[above], properties, above, origins)
        return joined, tuple(_settings(joined, "", origins, ""))


def organizations(document: Mapping, context: Context, home: str) -> Organizations:
    """The organizations that are written, and the router's own."""
    general = _general(document, context)
    found = Organizations(home, defaults={"": general} if general.entries else {})
    node = document.get("organizations")
    entries = node.entries if isinstance(node, Mapping) else {}
    for name, entry in entries.items():
        _check_name(name, entry, context)
        path = ("organizations", name)
        data = context.shapes.check(entry.value, ORGANIZATION, path, entry.key.place).data
        found.known[name] = Organization(
            name, data.get("description", ""), data.get("parent", ""), entry.key.place
        )
        station = node_at(entry.value, ("defaults", "station"))
        # What is not sound is told here, and inherited by nobody.
        if isinstance(station, Mapping) and "defaults" in data:
            found.defaults[name] = station
    if home:
        found.known.setdefault(home, Organization(home))
    for name, entry in entries.items():
        _check_parent(found.known, name, entry, context)
    return found


def _general(document: Mapping, context: Context) -> Mapping:
    """Section `defaults` as if it were written in a station."""
    found = Mapping(document.file, 1, 1, 1)
    node = document.get("defaults")
    if isinstance(node, Mapping):
        sound = context.shapes.check(node, DEFAULTS, ("defaults",)).data
        station = node.get("station") if "station" in sound else None
        found.entries.update(station.entries if isinstance(station, Mapping) else {})
        if "retry" in sound:
            found.entries["retry"] = node.entries["retry"]
    return found


def check_organization(
    name: str, organizations: Organizations, node: Node, station: str, context: Context
) -> None:
    """The organization that a station names must be there (DR201)."""
    if name in organizations.known:
        return
    wrong = node_at(node, ("organization",)) or node
    hint = did_you_mean(name, organizations.known) or "define it under 'organizations:'"
    path = ("stations", station, "organization")
    context.error("DR201", f"no organization is named '{name}'", wrong, path, hint)


def _check_name(name: str, entry: Entry, context: Context) -> None:
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= _LONGEST_NAME:
        message = f"'{name}' cannot be the name of an organization"
        hint = f"1 to {_LONGEST_NAME} printable characters, no blank at either end"
        path = show_path(("organizations", name))
        context.report.error("DR105", message, entry.key.place, path=path, hint=hint)


def _check_parent(
    known: AnyMapping[str, Organization], name: str, entry: Entry, context: Context
) -> None:
    parent = known[name].parent
    node = node_at(entry.value, ("parent",))
    if not parent or node is None:
        return
    path = ("organizations", name, "parent")
    if parent not in known:
        hint = did_you_mean(parent, known)
        context.error("DR201", f"no organization is named '{parent}'", node, path, hint)
    elif name in lineage(known, parent):
        message = f"'{name}' would stand under itself"
        context.error("DR105", message, node, path, "leave 'parent' out at one of them")


def _joined(
    own: Mapping,
    above: Mapping,
    properties: AnyMapping[str, Any],
    origin: str,
    origins: dict[int, str],
) -> Mapping:
    """`own` with what only `above` writes; `origins` learns whose each such entry is, by identity."""
    found = Mapping(own.file, own.line, own.column, own.length, dict(own.entries))
    for key, entry in above.entries.items():
        shape = properties.get(key)
        if shape is None:
            continue
        inner, value = shape.get("properties"), entry.value
        mine = found.entries.get(key)
        if isinstance(value, Mapping) and inner is not None:
            base = Mapping(value.file, value.line, value.column, value.length)
            into = base if mine is None else mine.value
            if isinstance(into, Mapping):
                joined = _joined(into, value, inner, origin, origins)
                found.entries[key] = Entry((mine or entry).key, joined)
        elif mine is None:
            found.entries[key] = entry
            origins[id(entry.value)] = origin or "defaults"
    return found


def _settings(
    node: Mapping, prefix: str, origins: AnyMapping[int, str], inherited: str
) -> Iterator[Setting]:
    for key, entry in node.entries.items():
        origin = origins.get(id(entry.value), inherited)
        path = f"{prefix}{key}"
        if isinstance(entry.value, Mapping) and key not in {"morph", "auth"}:
            yield from _settings(entry.value, f"{path}.", origins, origin)
        else:
            yield Setting(path, plain(entry.value), origin, entry.key.place)
