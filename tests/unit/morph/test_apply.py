"""Recipes: order, failures, and what they would change."""

from __future__ import annotations

from typing import Any

import pytest

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import format_tag, parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.errors import BadDataset, MorphFailed, StoreDown
from router.model.instance import Source
from router.model.plug import Morph
from router.model.recipe import Recipe
from router.morph.apply import Change, MorphContext, _shown, compile_recipe, describe_changes
from router.plugs import morphs
from tests.unit.morph.test_steps import encoded, image

MORPHS = {morph.name: morph for morph in morphs()}
CONTEXT = MorphContext(
    Source("lan", "CT1", "EDGE_A", "10.1.1.21", "ct-1"), 0.0, "edge", "Hospital A", b"key"
)


def editable(**changes: Any) -> EditableDataSet:
    raw = encoded(image(**changes), EXPLICIT_VR_LITTLE_ENDIAN)
    return EditableDataSet(
        lambda start, size: raw[start : start + size], len(raw), EXPLICIT_VR_LITTLE_ENDIAN
    )


def test_an_empty_recipe_changes_nothing() -> None:
    data_set = editable()
    compile_recipe(Recipe.of([]), MORPHS)(data_set, CONTEXT)
    assert not data_set.is_changed


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe.of([("set", {"PatientID": "X"}), ("no_such_step", {})]),
        Recipe.of([("set", {"PatientIDD": "X"})]),
        Recipe.of([("set", "PatientID")]),
        Recipe.of([("replace", {"tag": "PatientID", "pattern": "(", "with": ""})]),
        Recipe("not json", "x"),
        Recipe('[["set"]]', "x"),
        Recipe("7", "x"),
    ],
)
def test_a_recipe_that_this_version_cannot_read_is_quarantined(recipe: Recipe) -> None:
    with pytest.raises(MorphFailed):
        compile_recipe(recipe, MORPHS)


def raising(error: Exception) -> dict[str, Morph]:
    def step(_data_set: Any, _context: Any) -> None:
        raise error

    return {"odd": Morph("odd", "Is odd.", {}, "odd: 1", lambda _: step)}


@pytest.mark.parametrize(
    "error", [ValueError("SECRET"), KeyError("SECRET"), BadDataset("SECRET"), TypeError("SECRET")]
)
def test_whatever_a_step_raises_quarantines_and_tells_no_value(error: Exception) -> None:
    edit = compile_recipe(Recipe.of([("odd", 1)]), raising(error))
    with pytest.raises(MorphFailed, match=r"step 1 \(odd\)") as caught:
        edit(editable(), CONTEXT)
    assert "SECRET" not in str(caught.value)


def test_a_store_that_is_down_is_no_fault_of_the_recipe() -> None:
    edit = compile_recipe(Recipe.of([("odd", 1)]), raising(StoreDown("journal")))
    with pytest.raises(StoreDown):
        edit(editable(), CONTEXT)


def test_describe_changes_tells_each_attribute_before_and_after() -> None:
    recipe = Recipe.of(
        [
            ("set", {"InstitutionName": "Hospital A", "PatientID": "0012"}),
            ("prefix", {"AccessionNumber": "H-"}),
            ("blank", "PatientBirthDate"),
            ("remove", ["OtherPatientNames", "0009,xxxx"]),
            ("set", {"RequestAttributesSequence[*].ScheduledProcedureStepID": "X"}),
        ]
    )
    assert describe_changes(recipe, MORPHS, editable(), CONTEXT) == (
        Change("(0008,0050)", "AccessionNumber", "A1", "H-A1"),
        Change("(0008,0080)", "InstitutionName", "absent", "Hospital A"),
        Change("(0009,0010)", "", "ACME", "absent"),
        Change("(0009,1001)", "", "SECRET", "absent"),
        Change("(0010,0030)", "PatientBirthDate", "19700101", "empty"),
        Change("(0010,1001)", "OtherPatientNames", "A\\B", "absent"),
        Change(
            "RequestAttributesSequence[*].ScheduledProcedureStepID",
            "ScheduledProcedureStepID",
            "S1\\S2",
            "X\\X",
        ),
    )


def test_describe_changes_reads_anew_what_an_edit_makes_readable_otherwise() -> None:
    """Without its creator a private element is another one; in other bytes a text is the same."""
    recipe = Recipe.of([("remove", "(0009,0010)"), ("charset", "ISO_IR 192")])
    found = describe_changes(recipe, MORPHS, editable(), CONTEXT)
    every = data_set_rows(editable())
    after = editable()
    compile_recipe(recipe, MORPHS)(after, CONTEXT)
    assert {one.tag: (one.before, one.after) for one in found} == {
        tag: (every.get(tag, "absent"), now)
        for tag in {*every, *data_set_rows(after)}
        if (now := data_set_rows(after).get(tag, "absent")) != every.get(tag, "absent")
    }


def data_set_rows(data_set: EditableDataSet) -> dict[str, str]:
    """Every attribute at the top as it is shown."""
    paths = [parse_path(format_tag(tag)) for tag in data_set.tags()]
    return {path.text: _shown(data_set, path) for path in paths}


def test_describe_changes_of_nothing_is_nothing() -> None:
    assert describe_changes(Recipe.of([]), MORPHS, editable(), CONTEXT) == ()
    same = Recipe.of([("set", {"PatientID": "0012"})])
    assert describe_changes(same, MORPHS, editable(), CONTEXT) == ()
