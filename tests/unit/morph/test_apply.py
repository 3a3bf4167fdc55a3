"""Recipes: order, failures, and what they would change."""

from __future__ import annotations

from typing import Any

import pytest

from router.dicom.dataset import EditableDataSet
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.errors import BadDataset, MorphFailed, StoreDown
from router.model.instance import Source
from router.model.plug import Morph
from router.model.recipe import Recipe
from router.morph.apply import Change, MorphContext, compile_recipe, describe_changes
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
    """A text that no step wrote reads otherwise when its character set is gone."""

    def step(data_set: Any, _context: Any) -> None:
        data_set.remove_at_top({0x00080005})

    odd = {"odd": Morph("odd", "Is odd.", {}, "odd: 1", lambda _: step)}
    data_set = editable(SpecificCharacterSet="ISO_IR 144", InstitutionName="Москва")
    found = describe_changes(Recipe.of([("odd", 1)]), odd, data_set, CONTEXT)
    (institution,) = [one for one in found if one.keyword == "InstitutionName"]
    assert institution.before == "Москва"
    assert institution.after != "Москва"


def test_describe_changes_of_nothing_is_nothing() -> None:
    assert describe_changes(Recipe.of([]), MORPHS, editable(), CONTEXT) == ()
    same = Recipe.of([("set", {"PatientID": "0012"})])
    assert describe_changes(same, MORPHS, editable(), CONTEXT) == ()
