"""A recipe compiled to one edit of a data set, and what that edit would change.

Steps run in order, each on what the one before left. Whatever goes wrong is MorphFailed: the
object is quarantined and never sent unmorphed. Messages name the step and the attribute, no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import format_tag, keyword_for
from router.dicom.values import Attribute
from router.errors import BadDataset, MorphFailed
from router.model.path import Path, PathStep
from router.model.plug import Morph
from router.model.recipe import Recipe
from router.morph.context import MorphContext

__all__ = ["Change", "MorphContext", "compile_recipe", "describe_changes"]

Edit = Callable[[EditableDataSet, MorphContext], None]

# What a step of a third party may let out on odd data. Store errors are not among them: they are
# temporary, and the delivery is tried again.
_FAULTS = (BadDataset, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute before and after; `tag` is its tag, or its path when it lies in an item."""

    tag: str
    keyword: str
    before: str
    after: str


def compile_recipe(recipe: Recipe, morphs: Mapping[str, Morph]) -> Edit:
    """The edit that a recipe describes. Raises MorphFailed when one of its steps is unknown.

    A recipe outlives the configuration it was written in, so its steps may no longer compile.
    """
    steps: list[tuple[str, Edit]] = []
    checks: list[tuple[str, Edit]] = []
    for place, (name, parameters) in enumerate(_unpacked(recipe), start=1):
        where = f"step {place} ({name})"
        if name not in morphs:
            raise MorphFailed(f"{where} is not known to this version")
        try:
            steps.append((where, morphs[name].compile(parameters)))
            check = morphs[name].check
            if check is not None:
                checks.append((f"check of {where}", check(parameters)))
        except _FAULTS:
            raise MorphFailed(f"{where} cannot be compiled by this version") from None

    def edit(data_set: EditableDataSet, context: MorphContext) -> None:
        for where, step in (*steps, *checks):
            try:
                step(data_set, context)
            except MorphFailed as failed:
                raise MorphFailed(f"{where}: {failed}") from None
            except _FAULTS as fault:
                raise MorphFailed(f"{where} failed: {type(fault).__name__}") from None

    return edit


def _unpacked(recipe: Recipe) -> tuple[tuple[str, object], ...]:
    try:
        return recipe.unpacked()
    except _FAULTS:
        raise MorphFailed("the recipe cannot be read") from None


def describe_changes(
    recipe: Recipe,
    morphs: Mapping[str, Morph],
    data_set: EditableDataSet,
    context: MorphContext,
) -> tuple[Change, ...]:
    """Apply the recipe, and tell what it changed, in order of tags; then inside sequences.

    The data set is edited. Values are shown as they are: for the eyes of an operator only. Raises
    MorphFailed as the recipe does.
    """
    edit = compile_recipe(recipe, morphs)
    inner = sorted(_inner_paths(recipe, morphs), key=lambda path: path.text)
    inner_before = [_shown(data_set, path) for path in inner]
    edit(data_set, context)
    original = data_set.original()
    touched = sorted(data_set.touched(original))
    before = {tag: _shown(original, _plain(tag)) for tag in touched}
    after = {tag: _shown(data_set, _plain(tag)) for tag in touched}
    rows = [
        Change(format_tag(tag), keyword_for(tag), before[tag], after[tag])
        for tag in touched
        if before[tag] != after[tag]
    ]
    for path, old in zip(inner, inner_before, strict=True):
        new = _shown(data_set, path)
        if new != old:
            rows.append(Change(path.text, keyword_for(path.steps[-1].tag), old, new))
    return tuple(rows)


def _inner_paths(recipe: Recipe, morphs: Mapping[str, Morph]) -> set[Path]:
    written = frozenset().union(
        *(morphs[name].writes(parameters) for name, parameters in _unpacked(recipe))
    )
    return {path for path in written if len(path.steps) > 1}


def _plain(tag: int) -> Path:
    return Path((PathStep(tag),), format_tag(tag))


def _shown(data_set: EditableDataSet, path: Path) -> str:
    try:
        found: Attribute | None = data_set.get(path)
    except MorphFailed:
        return "(too long to show)"
    if found is None:
        return "absent"
    if found.values:
        return "\\".join(str(value) for value in found.values)
    return (
        f"({found.vr})" if found.vr in {"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN"} else "empty"
    )
