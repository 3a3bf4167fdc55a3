"""Meaning of a station's `morph`, `issuer_of_patient_id`, `original_patient_id`, `transfer_syntax`.

Filling in the issuer is the first step of what happens on receive (of a DICOMweb station also to what
is retrieved from it), and giving Patient ID and issuer back as they came the last step of what happens
on send, so both are pinned like any other change; so is the transfer syntax it gets things in.
"""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any, Final

from router.config.compile_morphs import Morphs, Step
from router.config.context import Context
from router.config.nodes import Entry, PathPart, node_at
from router.config.shapes_stations import HOOKS
from router.config.transfer_syntaxes import declared
from router.model.plug import PlugError
from router.model.recipe import NOTHING, Recipe
from router.model.station import Hooks

# Patient ID as a receiver of the first hour knows it (protocols 3.3).
_IDENTITY: Final = (
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
)


def hooks(
    kind: str,
    data: AnyMapping[str, Any],
    entry: Entry,
    morphs: Morphs,
    path: tuple[PathPart, ...],
    context: Context,
) -> Hooks:
    """The hooks of a station, every list checked; `data` is what is sound of it."""
    written = data.get("morph", {})
    steps: dict[str, tuple[Step, ...]] = {}
    for name in HOOKS:
        node = node_at(entry.value, ("morph", name)) if name in written else None
        if node is not None:
            steps[name] = morphs.steps(node, (*path, "morph", name))
    if data.get("issuer_of_patient_id"):
        fill = _fill_issuer(data["issuer_of_patient_id"], entry, path, context)
        for hook in ("receive", "retrieve_response") if kind == "dicomweb" else ("receive",):
            steps[hook] = (*fill, *steps.get(hook, ()))
    recipes = {name: Recipe.of(found) for name, found in steps.items()}
    if data.get("original_patient_id"):
        last = Recipe.of([("restore", list(_IDENTITY))])
        recipes["send"] = recipes.get("send", NOTHING).then(last)
    syntax = declared(entry.value, data, kind, path, context)
    if syntax:
        recipes["send"] = recipes.get("send", NOTHING).leaving_in(syntax)
    return Hooks(**recipes)


def _fill_issuer(
    issuer: str, entry: Entry, path: tuple[PathPart, ...], context: Context
) -> tuple[Step, ...]:
    parameters = {"IssuerOfPatientID": issuer}
    for morph in context.plugs.morphs:
        if morph.name == "default":
            try:
                morph.compile(parameters)
            except PlugError as error:
                key = "issuer_of_patient_id"
                node = node_at(entry.value, (key,)) or entry.value
                context.error(error.code, str(error), node, (*path, key), error.hint)
                return ()
    return (("default", parameters),)
