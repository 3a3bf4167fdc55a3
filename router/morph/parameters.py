"""What the parameters of steps have in common: attributes, values and templates, checked at load.

Functions raise PlugError for what cannot be meant. A literal that its VR does not allow is refused
here, when the configuration is loaded, and not when the first object fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from router.dicom.charset import UTF_8
from router.dicom.dataset import EditableDataSet
from router.dicom.tags import PathError, all_vrs_for, format_tag, parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.values import BULK_VRS, SINGLE_VALUE_VRS, TEXT_VRS, ValueProblem, encode
from router.model.path import ALL_ITEMS, Path
from router.model.plug import PlugError
from router.morph.context import MorphContext
from router.morph.template import compile_template, is_template

Step = Callable[[EditableDataSet, MorphContext], None]
Text = Callable[[EditableDataSet, MorphContext], str]
Texts = Callable[[EditableDataSet, MorphContext], tuple[str, ...]]

SCALAR: Final = {"type": ["string", "number", "boolean"]}
ATTRIBUTE: Final = {
    "type": ["string", "number"],
    "description": 'Keyword, "gggg,eeee", "gggg,[CREATOR],ee", or a path such as Sequence[*].Keyword.',
}
ATTRIBUTES: Final = {
    "anyOf": [ATTRIBUTE, {"type": "array", "minItems": 1, "items": ATTRIBUTE}],
}
_FORMS: Final = {
    "AS": "018Y, 006M, 003W or 010D",
    "DA": "20240131",
    "DT": "20240131143000 or 20240131",
    "TM": "143000",
}
_WITHOUT_MARKS: Final = str.maketrans("", "", "-:/")
_CHARACTER_SET: Final = 0x00080005
_IDENTITY: Final = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)


def text_of(value: Any) -> str:
    """A single value as text. Raises PlugError for a list, a mapping or nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    hint = "`blank` leaves an attribute without a value" if value is None else ""
    raise PlugError("a single value is expected here", hint=hint, code="DR102")


def attribute(name: Any, *, at_key: bool = False) -> Path:
    """The path an attribute name stands for. Raises PlugError (DR210)."""
    try:
        path = parse_path(text_of(name))
    except PathError as error:
        form = "did you mean {}?" if error.code == "DR210" else "write {}"
        hint = form.format(error.hint) if error.hint else ""
        raise PlugError(str(error), at_key=at_key, hint=hint, code="DR210") from None
    return path


def values_of(path: Path) -> tuple[str, ...]:
    """The VRs an attribute may have. Raises PlugError for those without values to write."""
    step = path.steps[-1]
    if step.item is not None:
        raise PlugError("an item has no value", hint="name an attribute inside: …].Keyword")
    if step.tag == _CHARACTER_SET:
        raise PlugError("the character set follows the text of the object and is not set by hand")
    choices = tuple("LO" if vr == "UN" else vr for vr in all_vrs_for(step.tag, step.creator))
    if all(vr in BULK_VRS for vr in choices):
        raise PlugError(f"{format_tag(step.tag)} (VR {choices[0]}) cannot be written as text")
    return choices


def text_attribute(name: Any, *, at_key: bool = False) -> Path:
    """The path of an attribute that holds text. Raises PlugError for numbers and binary values."""
    path = attribute(name, at_key=at_key)
    if not any(vr in TEXT_VRS for vr in values_of(path)):
        raise PlugError(f"'{path.text}' holds no text", at_key=at_key)
    return path


def removable(name: Any) -> Path:
    """The path of an attribute that an object can do without. Raises PlugError for its identity."""
    path = attribute(name)
    if len(path.steps) == 1 and path.steps[0].tag in {*_IDENTITY, _CHARACTER_SET}:
        raise PlugError(f"an object cannot do without '{path.text}'")
    return path


def is_identity(tag: int) -> bool:
    """Whether a tag at the top belongs to what an object cannot do without."""
    return tag in _IDENTITY or tag == _CHARACTER_SET


def text(value: Any) -> Text:
    """A literal, or a template where `{{` appears. Raises PlugError for a faulty template."""
    literal = text_of(value)
    if is_template(literal):
        return compile_template(literal)
    return lambda _data_set, _context: literal


def texts(value: Any, path: Path) -> Texts:
    """One value or a list of them for an attribute. Raises PlugError when its VR refuses one."""
    choices = values_of(path)
    written = value if isinstance(value, list) else [value]
    sources = []
    for index, item in enumerate(written):
        with_index = (index,) if isinstance(value, list) else ()
        try:
            sources.append(text(item))
            if not is_template(text_of(item)):
                check_literal(text_of(item), choices)
        except PlugError as error:
            error.path = (*with_index, *error.path)
            raise
    return lambda data_set, context: tuple(source(data_set, context) for source in sources)


def check_literal(literal: str, choices: Iterable[str]) -> None:
    """Raise PlugError (DR212) when none of the VRs allows this value."""
    problem = hint = ""
    for vr in choices:
        refused = _refused(vr, literal)
        if not refused:
            return
        problem = problem or f"'{literal}' does not fit: {refused}"
        hint = hint or _form(vr, literal)
    raise PlugError(problem, hint=f"write {hint}" if hint else "", code="DR212")


def _refused(vr: str, literal: str) -> str:
    """Why the VR does not allow a value; '' where it does."""
    parts = [literal] if vr in SINGLE_VALUE_VRS else literal.split("\\")
    try:
        encode(vr, parts if literal else (), layout_of(EXPLICIT_VR_LITTLE_ENDIAN), UTF_8)
    except ValueProblem as refused:
        return str(refused)
    return ""


def _form(vr: str, literal: str) -> str:
    """What could have been meant by a value that was refused, or the form of its VR."""
    meant = literal.upper() if vr == "CS" else literal.translate(_WITHOUT_MARKS)
    if vr in {"CS", "DA", "TM"} and not _refused(vr, meant):
        return meant
    return _FORMS.get(vr, "")


def known_keys(parameters: Any, name: str, keys: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Raise PlugError unless the parameters are a mapping of these keys, the needed ones present."""
    shown = "{" + ", ".join(keys) + "}"
    if not isinstance(parameters, dict):
        raise PlugError(f"`{name}` takes a mapping", hint=shown, code="DR102")
    for key in parameters:
        if key not in keys:
            raise PlugError(
                f"'{key}' is unknown here",
                path=(key,),
                at_key=True,
                hint="one of: " + ", ".join(keys),
                code="DR101",
            )
    for key in needed:
        if key not in parameters:
            raise PlugError(f"`{key}` is missing", hint=shown, code="DR103")


def entries(parameters: Any, name: str) -> list[tuple[Any, Any]]:
    """The entries of a mapping with at least one. Raises PlugError for anything else."""
    if not isinstance(parameters, dict) or not parameters:
        raise PlugError(f"`{name}` takes a mapping of attributes", code="DR102")
    return list(parameters.items())


def each(items: Iterable[tuple[Any, Callable[[], Any]]]) -> list[Any]:
    """What the call of each key gives; a PlugError gets the key in front of its path."""
    done = []
    for key, call in items:
        try:
            done.append(call())
        except PlugError as error:
            error.path = (key, *error.path)
            raise
    return done


def paths(names: Any, convert: Callable[[Any], Any]) -> list[Any]:
    """What one name or a list of names stands for."""
    if not isinstance(names, list):
        return [convert(names)]
    if not names:
        raise PlugError("a list of attributes is expected here", code="DR102")
    return each((index, partial(convert, name)) for index, name in enumerate(names))


def concrete(data_set: EditableDataSet, path: Path) -> Iterator[Path]:
    """The path once per item where it says `[*]`, so that each item is edited by itself."""
    for place, step in enumerate(path.steps):
        if step.item != ALL_ITEMS:
            continue
        index = 0
        while True:
            here = dataclasses.replace(step, item=index)
            before = (*path.steps[:place], here)
            if not data_set.exists(Path(before, path.text)):
                return
            yield from concrete(data_set, Path((*before, *path.steps[place + 1 :]), path.text))
            index += 1
    yield path


def present(data_set: EditableDataSet, path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each place of the path that has a value, with its values as text."""
    for here in concrete(data_set, path):
        found = data_set.get(here)
        if found is not None and found.values:
            yield here, [str(value) for value in found.values]


def named(names: Iterable[Any]) -> frozenset[Path]:
    """The paths of names that were checked before, for analysis; unknown ones are left out."""
    found = set()
    for name in names:
        try:
            found.add(attribute(name))
        except PlugError:
            continue
    return frozenset(found)


def touched(parameters: Any) -> frozenset[Path]:
    """The paths of a step that takes attributes, or a mapping of them, for analysis."""
    return named(parameters if isinstance(parameters, dict) else as_list(parameters))


def as_list(names: Any) -> list[Any]:
    """One name, or several, as a list."""
    return names if isinstance(names, list) else [names]
