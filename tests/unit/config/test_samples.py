"""The samples, and the rules we install, route what their README says, where it says."""

from __future__ import annotations

import shutil
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from router.config.load import load
from router.dicom.header import HeaderReader
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.flow.route import decide
from router.match.facts import Facts
from router.model.instance import Source
from router.model.plan import Plan
from router.model.rule import Decision
from tests.support.configuration import all_plugs
from tests.unit.config.test_plan import PROJECT, with_files
from tests.unit.match.test_truth_table import encoded
from tests.unit.morph.test_apply import MORPHS
from tests.unit.morph.test_steps import CONTEXT, image, morphed

NOON = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))
NIGHT = time.mktime((2026, 11, 23, 23, 30, 0, 0, 0, -1))


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    root = tmp_path_factory.mktemp("samples")

    @cache
    def plan(name: str) -> Plan:
        folder = root / name
        shutil.copytree(PROJECT / name, folder)
        result = load(with_files(folder), all_plugs(), environment={})
        assert result.plan is not None, result.render()
        return result.plan

    return plan


def decision(
    plan: Plan,
    station: str,
    *,
    called: str = "ANY",
    received_at: float = NOON,
    **attributes: Any,
) -> Decision:
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    reader = HeaderReader(EXPLICIT_VR_LITTLE_ENDIAN, plan.needs)
    reader.feed(encoded(data_set))
    reader.finish()
    assert station in plan.stations, "the sample names no such sender"
    source = Source("lan", plan.stations[station].ae_title, called, "10.0.0.1", station)
    facts = Facts(reader, source, EXPLICIT_VR_LITTLE_ENDIAN, data_set.SOPClassUID, received_at)
    return decide(plan, facts)


def stations(decided: Decision) -> dict[str, str]:
    return {owed.station: owed.priority.word for owed in decided.owed}


def applied(decided: Decision, station: str, data_set: Dataset) -> Dataset:
    """What the station gets of a data set."""
    (owed,) = [owed for owed in decided.owed if owed.station == station]
    return morphed(data_set, *owed.recipe.unpacked())


def test_the_installed_rules_send_everything_to_the_archive(plans):
    decided = decision(plans("rules"), "modality", Modality="OT")
    assert stations(decided) == {"archive": "medium"}
    assert decided.owed[0].recipe.is_empty


HOSPITAL = "samples/community-hospital"


@pytest.mark.parametrize("sender", ["ct-1", "us-1"])
def test_the_hospital_sends_to_archive_and_cloud(plans, sender):
    decided = decision(plans(HOSPITAL), sender, PatientID="0012", Modality="CT")
    assert stations(decided) == {"pacs": "medium", "cloud": "low"}
    assert [owed.recipe.is_empty for owed in decided.owed] == [True, False]


def test_the_copy_in_the_cloud_carries_the_prefix_and_a_missing_name(plans):
    decided = decision(plans(HOSPITAL), "ct-1", PatientID="0012")
    result = applied(decided, "cloud", image(InstitutionName=""))
    assert (result.AccessionNumber, result.InstitutionName) == ("HSPA-A1", "Hospital A")
    kept = applied(decided, "cloud", image(InstitutionName="Ward"))
    assert kept.InstitutionName == "Ward"


@pytest.mark.parametrize(("patient_id", "kept"), [("QA1", False), ("QA", False), ("qa", True)])
def test_phantoms_stay_out_of_the_archives(plans, patient_id, kept):
    decided = decision(plans(HOSPITAL), "ct-1", PatientID=patient_id)
    assert bool(decided.owed) is kept
    assert (decided.disposition == "discarded") is not kept


def test_nothing_leaves_the_hospital_over_an_unencrypted_line(plans):
    plan = plans(HOSPITAL)
    targets = [station for station in plan.stations.values() if station.send]
    assert targets
    assert all(station.tls or station.url.startswith("https://") for station in targets)


TELE = "samples/teleradiology"


@pytest.mark.parametrize(
    ("called", "modality", "description", "urgent"),
    [
        ("TELERAD_STAT", "MR", "KNEE", True),
        ("TELERAD", "CT", "CT SCHAEDEL STAT", True),
        ("TELERAD", "CT", "cct nativ emergency", True),
        ("TELERAD", "CT", "CT HEAD", False),
        ("TELERAD", "MR", "MR HEAD STAT", False),
    ],
)
def test_emergencies_go_to_the_reader_on_call_first(plans, called, modality, description, urgent):
    decided = decision(
        plans(TELE), "north-ct", called=called, Modality=modality, StudyDescription=description
    )
    expected = {"archive": "low"} | ({"on-call": "high"} if urgent else {})
    assert stations(decided) == expected


@pytest.mark.parametrize(
    ("modality", "received_at", "goes"),
    [("CT", NIGHT, True), ("MR", NIGHT, True), ("DX", NIGHT, False), ("CT", NOON, False)],
)
def test_by_night_the_rest_goes_to_the_partner(plans, modality, received_at, goes):
    decided = decision(plans(TELE), "harbour-ct", received_at=received_at, Modality=modality)
    assert ("partner" in stations(decided)) is goes
    assert stations(decided)["archive"] == "low"


def test_the_words_of_the_sites_are_brought_together(plans):
    decided = decision(plans(TELE), "valley-dx", received_at=NIGHT, Modality="CT")
    before = image(InstitutionName="HARBOUR CLINIC 2", StudyDescription="CCT NATIV")
    for station in ("partner", "archive"):
        result = applied(decided, station, before)
        assert result.InstitutionName == "Harbour Clinic"
        assert result.StudyDescription == "CT HEAD"
    assert applied(decided, "partner", before).StationName == CONTEXT.source.station
    assert "StationName" not in applied(decided, "archive", before)
    unknown = applied(decided, "archive", image(InstitutionName="ELSEWHERE"))
    assert (unknown.InstitutionName, unknown.StudyDescription) == ("ELSEWHERE", "RX CHEST")


RESEARCH = "samples/research-drop"


@pytest.mark.parametrize("number", ["PROJ-2026-001", "PROJ-1999-999"])
def test_a_study_with_a_project_number_goes_to_the_folder_without_the_name(plans, number):
    decided = decision(plans(RESEARCH), "pacs", PatientComments=number, Modality="CT")
    assert stations(decided) == {"drop": "medium"}
    before = image(
        PatientComments=number,
        PatientAddress="Elm Street",
        ReferringPhysicianName="HOUSE^G",
        OperatorsName="X^Y",
        ImageComments="of Jane",
    )
    result = applied(decided, "drop", before)
    assert (str(result.PatientName), result.PatientID) == (number, number)
    assert (result.PatientBirthDate, result.AccessionNumber) == ("", "")
    for gone in ("PatientComments", "PatientAddress", "OperatorsName", "ImageComments"):
        assert gone not in result
    text = str(result)
    for told in ("DOE", "JANE", "0012", "Elm", "HOUSE", "X^Y", "Jane"):
        assert told not in text


@pytest.mark.parametrize(
    "number", ["", "PROJ-26-1", "XPROJ-2026-001", "PROJ-2026-001 and more", None]
)
def test_what_has_no_project_number_is_refused(plans, number):
    attributes = {} if number is None else {"PatientComments": number}
    decided = decision(plans(RESEARCH), "pacs", **attributes)
    assert decided.owed == ()
    assert (decided.refusal.status, len(decided.refusal.comment) <= 64) == (0xC001, True)


@pytest.mark.parametrize("name", ["rules", HOSPITAL, TELE, RESEARCH])
def test_every_sample_is_named_in_its_readme_and_every_step_is_known(plans, name):
    plan = plans(name)
    if name.startswith("samples/"):
        folder = Path(name).name
        assert f"[{folder}]({folder})" in (PROJECT / "samples" / "README.md").read_text("utf-8")
        assert (PROJECT / name / "README.md").is_file()
    steps = {
        step for rule in plan.rules for send in rule.sends for step, _ in send.recipe.unpacked()
    }
    assert steps <= set(MORPHS)
    assert {send.station for rule in plan.rules for send in rule.sends} <= {
        station.name for station in plan.stations.values() if station.send
    }
