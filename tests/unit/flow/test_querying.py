"""Hooks on queries: keys and answers are changed as objects are."""

from __future__ import annotations

import pytest

from router.dicom.keys import parse_keys
from router.errors import MorphFailed
from router.flow.querying import asked, identifier_hook
from router.model.instance import Source
from router.model.query import DataElement, Query
from router.model.recipe import NOTHING, Recipe
from router.morph.context import MorphContext
from router.plugs import morphs

CONTEXT = MorphContext(Source("find", "", "EDGE", "10.0.0.1", "pacs"), 0.0)
MORPHS = {morph.name: morph for morph in morphs()}
ACCESSION, PATIENT_ID, NAME = 0x00080050, 0x00100020, 0x00100010


def hook(*steps):
    return identifier_hook(Recipe.of(steps), MORPHS, CONTEXT)


def test_the_keys_of_a_query_go_out_changed_and_wildcards_stay():
    keys = parse_keys(["AccessionNumber=7*", "PatientID", "PatientName=山田*", "StudyDate=2026-"])
    query = asked(Query("STUDY", keys, 10, 5), hook(("prefix", {"AccessionNumber": "HSPA-"})))
    assert query.keys[ACCESSION].text == "HSPA-7*"
    assert query.keys[PATIENT_ID].values == (), "what is only asked for stays so"
    assert query.keys[NAME].text == "山田*"
    assert query.keys[0x00080020].text == "2026-"
    assert (query.level, query.limit) == ("STUDY", 10)


def test_an_answer_is_shown_changed():
    told = hook(("replace", {"tag": "AccessionNumber", "pattern": "^HSPA-", "with": ""}))
    answer = {ACCESSION: DataElement("SH", ("HSPA-7",)), NAME: DataElement("PN", ("Ä^B",))}
    changed = told(answer)
    assert changed[ACCESSION].values == ("7",)
    assert changed[NAME].values == ("Ä^B",)


def test_without_a_hook_the_identifier_is_the_same_object():
    keys = parse_keys(["PatientID=1"])
    assert identifier_hook(NOTHING, MORPHS, CONTEXT)(keys) is keys


def test_what_a_hook_fails_on_is_not_asked():
    change = hook(("prefix", {"AccessionNumber": "0123456789012345"}))
    with pytest.raises(MorphFailed, match="AccessionNumber"):
        change(parse_keys(["AccessionNumber=7"]))
