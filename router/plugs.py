"""The plugs: every file of match/, morph/ and peers/kinds/ that exports PLUGS, then third parties.

The folders are listed, so a new file is found without being named anywhere. Installed packages add
plugs by entry points of the group `dicom_router.plugs`, each a module with PLUGS or such a tuple.
Nothing depends on the order of imports: results are sorted by name, and a name used twice is
refused (PlugConflict), whoever came first.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final, TypeVar

import router.match
import router.morph
import router.peers.kinds
from router.config.plugged import Plugs
from router.model.plug import Morph, Operator, StationKind

GROUP: Final = "dicom_router.plugs"

Plug = Operator | Morph | StationKind
_Kind = TypeVar("_Kind", Operator, Morph, StationKind)


class PlugConflict(ValueError):
    """Two plugs of one kind have the same name, or an installed package brings no plugs."""


def all_plugs() -> Plugs:
    """Every plug of this installation. Raises PlugConflict."""
    return Plugs(operators(), morphs(), station_kinds())


def operators() -> tuple[Operator, ...]:
    """The operators of `match`, sorted by name. Raises PlugConflict."""
    return _sorted(_of_kind(Operator, router.match))


def morphs() -> tuple[Morph, ...]:
    """The steps of `morph`, sorted by name. Raises PlugConflict."""
    return _sorted(_of_kind(Morph, router.morph))


def morphs_by_name() -> Mapping[str, Morph]:
    """The steps of `morph`, to find the ones a recipe names. Raises PlugConflict."""
    return {morph.name: morph for morph in morphs()}


def station_kinds() -> tuple[StationKind, ...]:
    """The kinds of station, sorted by name. Raises PlugConflict."""
    return _sorted(_of_kind(StationKind, router.peers.kinds))


def _of_kind(kind: type[_Kind], package: ModuleType) -> Iterator[tuple[_Kind, str]]:
    """Each plug of one kind with the place it comes from."""
    for plug, origin in (*_in_package(package), *_installed()):
        if isinstance(plug, kind):
            yield plug, origin


def _in_package(package: ModuleType) -> Iterator[tuple[Plug, str]]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for plug in getattr(module, "PLUGS", ()):
            yield plug, found.name


def _installed() -> Iterator[tuple[Plug, str]]:
    for entry in entry_points(group=GROUP):
        origin = f"entry point {entry.name} ({entry.value})"
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise PlugConflict(f"{origin} cannot be loaded: {error}") from error
        brought = getattr(loaded, "PLUGS", loaded)
        if not isinstance(brought, tuple) or not all(isinstance(plug, Plug) for plug in brought):
            raise PlugConflict(f"{origin} brings no tuple of plugs")
        for plug in brought:
            yield plug, origin


def _sorted(plugs: Iterable[tuple[_Kind, str]]) -> tuple[_Kind, ...]:
    by_name: dict[str, tuple[_Kind, str]] = {}
    for plug, origin in plugs:
        if plug.name in by_name:
            first = by_name[plug.name][1]
            raise PlugConflict(f"'{plug.name}' is defined twice: in {first} and in {origin}")
        by_name[plug.name] = (plug, origin)
    return tuple(by_name[name][0] for name in sorted(by_name))
