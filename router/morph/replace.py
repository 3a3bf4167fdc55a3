r"""Step `replace`: what a regular expression (RE2) finds in each value becomes another text.

`with` may hold `\1` to `\9` for groups of the pattern and `\\` for a backslash; a template in it is
taken as text. An absent attribute, or one in which nothing is found, is left alone. Fails with
MorphFailed when a result does not fit the VR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.errors import MorphFailed
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTE,
    SCALAR,
    Step,
    each,
    known_keys,
    named,
    present,
    text,
    text_attribute,
    text_of,
)
from router.morph.reads import template_reads
from router.morph.template import is_template
from router.patterns import Pattern, PatternError, Replacement, compile_pattern, weigh

KEYS: Final = ("tag", "pattern", "with")


def compile_replace(parameters: Any) -> Step:
    """Raises PlugError; for pattern and replacement it points at the character (DR211)."""
    known_keys(parameters, "replace", KEYS, KEYS)
    tag, pattern = each(
        (
            ("tag", lambda: text_attribute(parameters["tag"])),
            ("pattern", lambda: _pattern(text_of(parameters["pattern"]))),
        )
    )
    (replacement,) = each((("with", lambda: _replacement(pattern, parameters["with"])),))
    return _step(tag, pattern, replacement)


def _weigh(parameters: Any) -> int:
    written = parameters.get("pattern") if isinstance(parameters, dict) else None
    return weigh(written) if isinstance(written, str) else 0


def _pattern(written: str) -> Pattern:
    try:
        return compile_pattern(written)
    except PatternError as error:
        raise PlugError(
            f"pattern does not compile: {error}",
            hint=error.hint,
            column_offset=error.offset,
            code="DR211",
        ) from None


def _replacement(
    pattern: Pattern, written: Any
) -> Callable[[EditableDataSet, MorphContext], Replacement]:
    source = text(written)
    if is_template(text_of(written)):
        return lambda data_set, context: pattern.replacement(
            source(data_set, context).replace("\\", "\\\\")
        )
    try:
        fixed = pattern.replacement(text_of(written))
    except PatternError as error:
        raise PlugError(
            str(error), hint=error.hint, column_offset=error.offset, code="DR211"
        ) from None
    return lambda _data_set, _context: fixed


def _step(
    tag: Path,
    pattern: Pattern,
    replacement: Callable[[EditableDataSet, MorphContext], Replacement],
) -> Step:
    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        for path, before in present(data_set, tag):
            becomes = replacement(data_set, context)
            try:
                after = [pattern.sub(becomes, value) for value in before]
            except PatternError as error:
                raise MorphFailed(f"{path.text}: {error}") from None
            if after != before:
                data_set.set(path, after)

    return step


def _reads(parameters: Any) -> frozenset[Path]:
    return named([parameters["tag"]]) | template_reads([parameters["with"]])


def _writes(parameters: Any) -> frozenset[Path]:
    return named([parameters["tag"]])


PLUGS = (
    Morph(
        name="replace",
        summary="Replaces what a regular expression (RE2) finds in each value.",
        schema={
            "type": "object",
            "required": list(KEYS),
            "additionalProperties": False,
            "properties": {
                "tag": ATTRIBUTE,
                "pattern": {**SCALAR, "description": "RE2; (?i) in front ignores case."},
                "with": {**SCALAR, "description": r"The new text; \1 to \9 are groups."},
            },
            "description": "{tag, pattern, with}",
        },
        example='replace: {tag: StudyDescription, pattern: "^RX ", with: "XR "}',
        compile=compile_replace,
        weigh=_weigh,
        reads=_reads,
        writes=_writes,
    ),
)
