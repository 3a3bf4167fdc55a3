"""Step `charset`: all text of the object in another character set, declared, nothing lost.

Text that has no place in that character set fails with MorphFailed; ISO_IR 192 (UTF-8) has a place
for all (PS3.3 C.12.1.1.2).
"""

from __future__ import annotations

from typing import Any

from router.dicom.charset import is_known
from router.dicom.dataset import EditableDataSet
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import Step, named, text_of


def compile_charset(parameters: Any) -> Step:
    """A defined term, or several with backslashes between. Raises PlugError."""
    term = text_of(parameters)
    if not term or not is_known(term):
        raise PlugError(
            f"'{term}' is no defined term of Specific Character Set",
            hint="ISO_IR 192 is UTF-8, ISO_IR 100 is Latin-1",
            code="DR212",
        )

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        if data_set.character_set != term or not data_set.declares_character_set:
            data_set.convert_character_set(term)

    return step


PLUGS = (
    Morph(
        name="charset",
        summary="Brings all text to another character set and declares it.",
        schema={
            "type": "string",
            "description": "A defined term of Specific Character Set: charset: ISO_IR 192.",
        },
        example="charset: ISO_IR 192",
        compile=compile_charset,
        writes=lambda _: named(("SpecificCharacterSet",)),
    ),
)
