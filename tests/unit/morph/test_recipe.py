"""Recipes: canonical, the same digest for the same steps, and alive after years in the ledger."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.model.recipe import NO_CHANGE, Recipe
from router.morph.apply import compile_recipe
from tests.support.configuration import PACS, loaded
from tests.unit.morph.test_apply import CONTEXT, MORPHS, editable
from tests.unit.morph.test_steps import image, morphed

PARAMETERS = st.recursive(
    st.text(max_size=6) | st.integers(-99, 99) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
STEPS = st.lists(st.tuples(st.sampled_from(sorted(MORPHS)), PARAMETERS), max_size=4)


@given(STEPS)
def test_a_recipe_is_canonical_json_and_comes_back_as_it_was(steps: list[tuple[str, Any]]) -> None:
    recipe = Recipe.of(steps)
    assert [tuple(step) for step in json.loads(recipe.steps)] == steps
    assert Recipe.of(recipe.unpacked()) == recipe
    again = json.dumps(json.loads(recipe.steps), sort_keys=True, separators=(",", ":"))
    assert again == recipe.steps
    assert recipe.is_empty == (not steps)


@given(STEPS, STEPS)
def test_digests_are_equal_exactly_when_the_steps_are(
    one: list[tuple[str, Any]], other: list[tuple[str, Any]]
) -> None:
    def text(steps: list[tuple[str, Any]]) -> str:
        return json.dumps(steps, sort_keys=True)

    same = text(one) == text(other)
    assert (Recipe.of(one).digest == Recipe.of(other).digest) is same


def test_the_digest_is_that_of_the_text_and_must_stay() -> None:
    """The ledger keeps recipes by digest: a release that computes another would lose them."""
    recipe = Recipe.of([("set", {"b": "é", "a": "1"})])
    assert recipe.steps == '[["set",{"a":"1","b":"\\u00e9"}]]'
    assert recipe.digest == hashlib.sha256(recipe.steps.encode()).hexdigest()
    # printf '%s' '[["set",{"a":"1","b":"\u00e9"}]]' | sha256sum
    assert recipe.digest.startswith("7f32b326929251c4")
    assert Recipe.of([]) == Recipe("[]", NO_CHANGE)


def test_order_of_parameters_is_nothing_and_order_of_steps_is_meaning() -> None:
    one, two = ("set", {"A": "1", "B": "2"}), ("set", {"B": "2", "A": "1"})
    assert Recipe.of([one]) == Recipe.of([two])
    other = ("remove", "PatientID")
    assert Recipe.of([one, other]).digest != Recipe.of([other, one]).digest
    assert Recipe.of([one]).digest != Recipe.of([one, one]).digest


EXAMPLES = {name: yaml.load(morph.example, yaml.BaseLoader)[name] for name, morph in MORPHS.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_step_compiles_and_acts_alike_after_its_time_in_the_ledger(name: str) -> None:
    recipe = Recipe.of([(name, EXAMPLES[name])])
    stored = Recipe(json.loads(json.dumps(recipe.steps)), recipe.digest)
    data_set = image(StudyDescription="RX CHEST", OtherPatientIDs="X")
    assert morphed(data_set, *stored.unpacked()) == morphed(data_set, (name, EXAMPLES[name]))
    assert stored == recipe


def test_a_compiled_recipe_keeps_nothing_of_one_object_for_the_next() -> None:
    edit = compile_recipe(
        Recipe.of([("set", {"StudyID": "{{ PatientID }}"}), ("prefix", {"PatientID": "x"})]), MORPHS
    )
    results = []
    for patient in ("1", "2", "1"):
        data_set = editable(PatientID=patient)
        edit(data_set, CONTEXT)
        results.append(b"".join(piece for piece in data_set.pieces() if isinstance(piece, bytes)))
    assert results[0] == results[2] != results[1]


def test_what_the_configuration_pins_is_enough_without_it(tmp_path: Any) -> None:
    """Tables and named lists are inlined, so that a later change of them changes no pinned recipe."""
    text = PACS + (
        "tables: {t: {DX: CR}}\nmorphs: {m: [{map: {tag: Modality, table: t}}]}\n"
        "rules: [{name: r, morph: [m, {set: {SeriesNumber: 0012}}], route: [pacs]}]\n"
    )
    before = loaded(tmp_path / "a", text).plan.rules[0].sends[0].recipe
    after = loaded(tmp_path / "b", text.replace("DX: CR", "DX: DR")).plan.rules[0].sends[0].recipe
    assert before.digest != after.digest
    result = morphed(image(), *before.unpacked())
    assert (result.Modality, result.SeriesNumber) == ("CR", 12)


def test_two_rules_with_the_same_steps_share_one_recipe(tmp_path: Any) -> None:
    text = PACS + (
        "morphs: {m: [{remove: PatientID}, {blank: StudyID}]}\n"
        "rules:\n  - {name: a, morph: m, route: [pacs]}\n"
        "  - {name: b, morph: [{remove: PatientID}], route: [{to: pacs, morph: [{blank: StudyID}]}]}\n"
        "  - {name: c, morph: [{blank: StudyID}, {remove: PatientID}], route: [pacs]}\n"
    )
    a, b, c = (rule.sends[0].recipe.digest for rule in loaded(tmp_path, text).plan.rules)
    assert a == b != c
