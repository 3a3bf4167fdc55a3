"""Meaning of `morph`: steps checked by their plugs, named lists expanded, tables inlined.

What comes out is a list of (name, parameters) that needs nothing else any more, so a recipe made of
it stays what it was when stations, tables and lists change.
"""

from __future__ import annotations

import json
from typing import Any, Final

from router.config import shapes_rules
from router.config.context import Context, raw_for
from router.config.nodes import (
    Entry,
    Mapping,
    Node,
    PathPart,
    Scalar,
    Sequence,
    place_at,
    raw,
    show_path,
)
from router.config.suggest import did_you_mean
from router.config.work import STEP, TABLE_ENTRY, templates
from router.model.plug import Morph, PlugError

Step = tuple[str, Any]
MAX_STEPS: Final = 1000
MAX_MISTAKES: Final = 60


class Morphs:
    """The morph steps, named lists and tables of one document."""

    def __init__(self, document: Mapping, context: Context) -> None:
        self._context = context
        self._known = {morph.name: morph for morph in context.plugs.steps}
        self._lists = document.get("morphs")
        self._done: dict[str, tuple[Step, ...]] = {}
        self._open: list[str] = []
        self._sound: set[tuple[str, str]] = set()
        self._tables = self._read_tables(document)

    def check_named(self) -> None:
        """Check every named list, used or not."""
        if isinstance(self._lists, Mapping):
            for name, entry in self._lists.entries.items():
                self._named(name, entry.value)

    def steps(self, node: Node, path: tuple[PathPart, ...]) -> tuple[Step, ...]:
        """The steps of a list, or of the list a name stands for."""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return self._by_name(node, path)
        if not isinstance(node, Sequence):
            hint = "begin each step with '- '"
            self._context.error("DR102", "morph must be a list of steps", node, path, hint)
            return ()
        found: list[Step] = []
        for index, item in enumerate(node.items):
            found.extend(steps := self._step(item, (*path, index)))
            self._context.work.spend(STEP * len(steps), item.place)
            if len(found) > MAX_STEPS:
                message = f"more than {MAX_STEPS} steps, named lists expanded"
                self._context.error("DR106", message, item, (*path, index))
                return ()
        return tuple(found)

    def _read_tables(self, document: Mapping) -> dict[str, Any]:
        node = document.get("tables")
        tables: dict[str, Any] = {}
        if isinstance(node, Mapping):
            for name, entry in node.entries.items():
                path: tuple[PathPart, ...] = ("tables", name)
                checked = self._context.shapes.check(
                    entry.value, shapes_rules.TABLE, path, entry.key.place, raw(entry.value)
                )
                tables[name] = {
                    key: "" if value is None else value for key, value in checked.data.items()
                }
        return tables

    def _by_name(self, node: Scalar, path: tuple[PathPart, ...]) -> tuple[Step, ...]:
        name = node.text
        lists = self._lists.entries if isinstance(self._lists, Mapping) else {}
        if name not in lists:
            hint = did_you_mean(name, lists) or "define it under 'morphs:'"
            if name in self._known:
                hint = f"write the step with its parameters: {self._known[name].example.strip()}"
            self._context.error("DR203", f"no list '{name}' under 'morphs'", node, path, hint)
            return ()
        if name in self._open:
            chain = " → ".join((*self._open, name))
            self._context.error("DR203", f"the list '{name}' uses itself: {chain}", node, path)
            return ()
        return self._named(name, lists[name].value)

    def _named(self, name: str, node: Node) -> tuple[Step, ...]:
        if name not in self._done:
            self._open.append(name)
            self._done[name] = self.steps(node, ("morphs", name))
            self._open.pop()
        return self._done[name]

    def _step(self, node: Node, path: tuple[PathPart, ...]) -> tuple[Step, ...]:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return self._by_name(node, path)
        if not isinstance(node, Mapping) or not node.entries:
            hint = "for example: set: {InstitutionName: Hospital A}"
            self._context.error("DR102", "a step is a mapping with one key", node, path, hint)
            return ()
        names = list(node.entries)
        if len(names) > 1:
            place = node.entries[names[1]].key.place
            message = f"a step has one key, this one has {len(names)}"
            hint = f"begin a new step: - {names[1]}: …"
            self._context.report.error("DR106", message, place, path=show_path(path), hint=hint)
        return tuple(step for name in names for step in self._one(name, node, path))

    def _one(self, name: str, step: Mapping, path: tuple[PathPart, ...]) -> tuple[Step, ...]:
        entry = step.entries[name]
        at = (*path, name)
        morph = self._known.get(name)
        if morph is None:
            hint = did_you_mean(name, self._known) or f"one of: {', '.join(sorted(self._known))}"
            message = f"'{name}' is no morph step"
            place = entry.key.place
            self._context.report.error("DR101", message, place, path=show_path(at), hint=hint)
            return ()
        written = raw(entry.value)
        parameters = raw_for(entry.value, written, morph.schema)
        known = (name, json.dumps(parameters))
        if known not in self._sound:
            units = morph.weigh(parameters) + templates(parameters)
            self._context.work.spend(units, entry.key.place)
            if not self._is_sound(morph, parameters, entry, at):
                return ()
            self._sound.add(known)
        named = parameters.get("table") if isinstance(parameters, dict) else None
        if isinstance(named, str):
            self._context.work.spend(TABLE_ENTRY * len(self._tables[named]), entry.key.place)
        return ((name, self._with_table(parameters)),)

    def _is_sound(
        self, morph: Morph, parameters: Any, entry: Entry, path: tuple[PathPart, ...]
    ) -> bool:
        """Whether the plug takes the parameters; if not, every mistake in them is reported."""
        shapes = self._context.shapes
        if not shapes.check(entry.value, morph.schema, path, entry.key.place, parameters).is_fine:
            return False
        if not self._table_is_known(parameters, entry.value, path):
            return False
        try:
            morph.compile(self._with_table(parameters))
        except PlugError as error:
            for each in _mistakes_apart(morph, parameters) or [error]:
                self._context.plug_error(each, entry.value, path)
            return False
        return True

    def _table_is_known(self, parameters: Any, node: Node, path: tuple[PathPart, ...]) -> bool:
        name = parameters.get("table") if isinstance(parameters, dict) else None
        if not isinstance(name, str) or name in self._tables:
            return True
        place = place_at(node, ("table",))
        hint = did_you_mean(name, self._tables) or "define it under 'tables:'"
        shown = show_path((*path, "table"))
        message = f"no table '{name}' is defined"
        self._context.report.error("DR203", message, place, path=shown, hint=hint)
        return False

    def _with_table(self, parameters: Any) -> Any:
        """The parameters with a table in place of its name."""
        name = parameters.get("table") if isinstance(parameters, dict) else None
        if not isinstance(name, str):
            return parameters
        return {**parameters, "table": self._tables[name]}


def _mistakes_apart(morph: Morph, parameters: Any) -> list[PlugError]:
    """The mistake of each attribute by itself, where attributes stand side by side.

    A plug stops at its first mistake; people want to see them all.
    """
    parts: dict[Any, Any] = {}
    if isinstance(parameters, dict) and not morph.schema.get("properties"):
        parts = {key: {key: value} for key, value in parameters.items()}
    elif isinstance(parameters, list):
        parts = {index: [value] for index, value in enumerate(parameters)}
    mistakes: list[PlugError] = []
    for key, part in parts.items():
        if len(mistakes) >= MAX_MISTAKES:
            break
        try:
            morph.compile(part)
        except PlugError as error:
            if isinstance(parameters, list) and error.path[:1] == (0,):
                error.path = (key, *error.path[1:])
            mistakes.append(error)
    return mistakes
