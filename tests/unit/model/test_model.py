"""The nouns: what they accept, how they are equal, and what can be looked up in a plan."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.delivery import Priority
from router.model.ids import MAX_UID_LENGTH, is_valid_uid, normalise_ae_title
from router.model.path import ALL_ITEMS, Path, PathStep
from router.model.recipe import NO_CHANGE, Recipe
from router.model.status import describe
from tests.support.inside import plan_of

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(PRINTABLE)
def test_f19_an_ae_title_is_1_to_16_printable_characters_and_its_outer_spaces_mean_nothing(text):
    title = text.strip(" ")
    if title and len(title) <= 16 and "\\" not in title:
        assert normalise_ae_title(text) == title
        assert normalise_ae_title(f"  {title} ") == title
    else:
        with pytest.raises(ValueError, match="AE title"):
            normalise_ae_title(text)


@pytest.mark.parametrize("text", ["A\nB", "A\x00", "Ä", "A\tB", "\u00a0A", "CT\u200b1", "A" * 17])
def test_an_ae_title_holds_nothing_else(text):
    with pytest.raises(ValueError, match="AE title"):
        normalise_ae_title(text)


def test_case_of_an_ae_title_is_kept():
    assert normalise_ae_title("Ct1") == "Ct1"


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("1.2.840.10008.1.1", True, True),
        ("0", True, True),
        ("1.0.3", True, True),
        ("1.2.03", False, True),
        ("1." + "2" * (MAX_UID_LENGTH - 2), True, True),
        ("1." + "2" * (MAX_UID_LENGTH - 1), False, False),
        ("", False, False),
        ("1..2", False, False),
        (".1", False, False),
        ("1.", False, False),
        ("1.2\n", False, False),
        ("1.2 ", False, False),
        ("1.٢", False, False),
        ("../../etc/passwd", False, False),
    ],
)
def test_uids_are_digits_and_dots(text, strict, lenient):
    assert is_valid_uid(text) is strict
    assert is_valid_uid(text, lenient=True) is lenient


@given(st.text(max_size=80))
def test_what_is_a_uid_is_one_leniently_too_and_can_name_nothing_else(text):
    if is_valid_uid(text):
        assert is_valid_uid(text, lenient=True)
    if is_valid_uid(text, lenient=True):
        assert set(text) <= set("0123456789.")
        assert ".." not in text


@given(st.integers(0, 0xFFFF))
def test_every_status_has_words(status):
    number, words = describe(status)[:6], describe(status)[7:]
    assert int(number, 16) == status
    assert words


def test_priorities_are_ordered_and_have_their_codes_on_the_wire():
    assert sorted([Priority.LOW, Priority.HIGH, Priority.MEDIUM]) == [0, 1, 2]
    assert [priority.dimse_code for priority in Priority] == [1, 0, 2]
    assert [Priority.of(word) for word in ("STAT", "asap", "Urgent", "routine", "low")] == [
        Priority.HIGH,
        Priority.HIGH,
        Priority.HIGH,
        Priority.MEDIUM,
        Priority.LOW,
    ]
    assert all(Priority.of(priority.word) is priority for priority in Priority)
    with pytest.raises(KeyError):
        Priority.of("soon")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(["set", "remove"]), PLAIN), max_size=3))
def test_equal_recipes_have_equal_digests_and_come_back_whole(steps):
    recipe = Recipe.of(steps)
    again = Recipe.of([(name, reordered(parameters)) for name, parameters in steps])
    assert again == recipe
    assert list(recipe.unpacked()) == steps
    assert recipe.is_empty is (not steps)
    assert (recipe.digest == NO_CHANGE) is (not steps)
    assert Recipe.of([*steps, ("set", {})]).digest != recipe.digest


def reordered(value):
    """The same value, its mappings written in another order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(one) for one in value] if isinstance(value, list) else value


def test_the_order_of_steps_is_part_of_a_recipe():
    one, two = ("set", {"PatientID": "1"}), ("remove", "PatientID")
    assert Recipe.of([one, two]).digest != Recipe.of([two, one]).digest


def test_paths_know_the_fast_case():
    assert Path((PathStep(0x00100020),), "PatientID").is_plain
    assert not Path((PathStep(0x00090001, "ACME"),), "private").is_plain
    nested = Path((PathStep(0x00400275, item=ALL_ITEMS), PathStep(0x00400007)), "nested")
    assert not nested.is_plain
    assert nested.top_tag == 0x00400275


SITE = """\
stations:
  a: {ae_title: SHARED, host: 10.0.0.1}
  b: {ae_title: SHARED, host: 10.0.0.2}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  web: {type: folder, path: out, send: true}
rules:
  - {name: ct, match: {Modality: CT, StudyDescription: HEAD}, route: [pacs]}
  - {name: mr, match: {Modality: MR}, route: [web]}
"""


def test_a_plan_knows_what_its_rules_read_and_who_shares_a_title(tmp_path):
    plan = plan_of(tmp_path, SITE)
    assert {path.text for path in plan.needs} == {"Modality", "StudyDescription"}
    found = {
        title: [one.name for one in stations]
        for title, stations in plan.stations_by_ae_title.items()
    }
    assert found == {"SHARED": ["a", "b"], "PACS": ["pacs"]}


def test_a_plan_is_what_was_written_and_cannot_be_changed(tmp_path):
    first, second = plan_of(tmp_path / "1", SITE), plan_of(tmp_path / "1")
    assert first != second
    again = dataclasses.replace(first, loaded_at=first.loaded_at + 99)
    assert again == first, "when it was read does not count"
    assert plan_of(tmp_path / "1", SITE).digest == first.digest
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.digest = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.rules[0].name = "other"
