"""`test`: the tests beside the rules, as their authors and their CI see them."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.support.commands import dicom_router
from tests.support.process import PROJECT
from tests.unit.config.test_plan import with_files
from tests.unit.match.test_truth_table import encoded

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE, data_dir: data}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:11112", accept: any}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: PACS, host: 127.0.0.1, port: 104, send: true}
  cloud: {type: folder, path: out, send: true}
rules:
  - {name: archive, route: [pacs]}
  - name: thin chests
    match: {from: ct-1, StudyDescription: {regex: "(?i)chest"}, SliceThickness: {lt: 2}}
    morph:
      - set: {InstitutionName: "{{ source.name }}"}
      - prefix: {AccessionNumber: X-}
    route: [cloud]
  - {name: never, match: {Modality: XA}, refuse: {comment: no films}}
"""
PASSING = """\
tests:
  - name: thin
    given:
      from: ct-1
      dataset: {Modality: CT, StudyDescription: CHEST PA, SliceThickness: "1.5", AccessionNumber: 0012}
    expect:
      rules: [archive, thin chests]
      route: [cloud, pacs]
      outcome: routed
      sent_to:
        cloud: {InstitutionName: ct-1, AccessionNumber: X-0012, PatientName: {exists: false}}
        pacs: {AccessionNumber: "0012", InstitutionName: null}
  - name: thick
    given: {from: ct-1, dataset: {StudyDescription: CHEST, SliceThickness: "2"}}
    expect: {rules: [archive], route: [pacs]}
"""


def folder(tmp_path: Path, tests: str, site: str = SITE) -> Path:
    (tmp_path / "site.yaml").write_text(site)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "deeper").mkdir(exist_ok=True)
    (tmp_path / "deeper" / "a.test.yaml").write_text(tests)
    return tmp_path


def run(where: Path, *options: str) -> tuple[int, str, str]:
    return dicom_router("test", "--config", str(where), *options)


def test_f94_what_is_expected_passes(tmp_path):
    code, output, errors = run(folder(tmp_path, PASSING))
    assert (code, errors) == (0, "")
    assert output.splitlines() == ["ok    thin", "ok    thick", "2 passed, 0 failed"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rules: [archive, thin chests]", "rules: [archive]", "'archive', 'thin chests'"),
        ("route: [cloud, pacs]", "route: [pacs]", "it goes to 'cloud', 'pacs'"),
        ("outcome: routed", "outcome: refused", "it is routed, not refused"),
        ("AccessionNumber: X-0012", "AccessionNumber: X-12", "is 'X-0012', not 'X-12'"),
        ("PatientName: {exists: false}", "PatientName: {exists: true}", "PatientName is absent"),
        ("InstitutionName: ct-1", "InstitutionName: {glob: 'ct-2*'}", "InstitutionName is 'ct-1'"),
        ("InstitutionName: null}", "AccessionNumber: null}", "AccessionNumber has a value"),
        ("sent_to:\n", "fails_for: [cloud]\n      sent_to:\n", "cloud does not fail"),
    ],
)
def test_f94_what_is_not_as_expected_is_told_with_its_place(tmp_path, old, new, words):
    text = PASSING.replace(
        'pacs: {AccessionNumber: "0012", InstitutionName: null}', "pacs: {InstitutionName: null}"
    )
    assert old in text
    code, output, _ = run(folder(tmp_path, text.replace(old, new, 1)))
    assert code == 1
    assert "FAIL  thin" in output
    assert "deeper/a.test.yaml:2: " in output
    assert words in output
    assert output.endswith("1 passed, 1 failed\n")


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("from: ct-1", "from: ct-2", "4:13", "'ct-2' is not defined"),
        ("rules: [archive, thin", "rules: [archve, thin", "7:15", "did you mean 'archive'"),
        ("StudyDescription: CHEST PA", "StudyDescripton: CHEST PA", "5:31", "StudyDescription"),
        ("        cloud: {", "        clud: {", "11:9", "did you mean 'cloud'"),
        ("outcome: routed", "outcome: sent", "9:16", "routed"),
        ("expect:\n", "expects:\n", "6:5", "did you mean 'expect'"),
        ("tests:", "test:", "1:1", "tests"),
    ],
)
def test_f94_mistakes_in_tests_are_shown_as_those_of_rules_are(tmp_path, old, new, place, words):
    assert old in PASSING
    code, _, errors = run(folder(tmp_path, PASSING.replace(old, new, 1)))
    assert code == 1
    assert f"deeper/a.test.yaml:{place}: error DR" in errors
    assert words in errors


def test_f94_a_file_is_an_instance_too_and_a_recipe_that_fails_is_expected(tmp_path):
    where = folder(
        tmp_path,
        """\
tests:
  - name: from a file
    given: {from: ct-1, file: image.dcm}
    expect: {rules: [archive, thin chests], fails_for: [cloud]}
""",
    )
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data_set.StudyDescription = "chest"
    data_set.SliceThickness = "1"
    data_set.AccessionNumber = "0123456789012345"
    (where / "deeper" / "image.dcm").write_bytes(encoded(data_set))
    assert run(where)[0] == 0
    (where / "deeper" / "image.dcm").unlink()
    code, output, _ = run(where)
    assert code == 1
    assert "the instance cannot be made" in output


def test_f94_coverage_names_what_no_test_reaches(tmp_path):
    code, output, _ = run(folder(tmp_path, PASSING), "--coverage", "--format", "json")
    told = json.loads(output)["uncovered"]
    assert code == 0
    assert "rule 'never' never acts" in told
    assert [row for row in told if "StudyDescription" in row] == [
        "rule 'thin chests': StudyDescription: {regex: (?i)chest} always holds"
    ]
    assert not [row for row in told if "SliceThickness" in row]


def test_f94_mutation_lists_what_no_test_notices_and_nothing_else(tmp_path):
    where = folder(tmp_path, PASSING)
    code, output, _ = run(where, "--mutate", "--format", "json")
    survivors = json.loads(output)["survivors"]
    assert code == 0
    assert any("'never': the rule is left out" in row for row in survivors)
    assert any("from is not asked for" in row for row in survivors)
    for caught in ("lt becomes ge", "step 1 (set)", "step 2 (prefix)", "nothing is sent to pacs"):
        assert not [row for row in survivors if caught in row], caught
    assert run(where, "--mutate", "--fail-on-survivors")[0] == 1


def test_f94_junit_says_what_a_ci_reads(tmp_path):
    text = PASSING.replace("route: [pacs]}", "route: [cloud]}")
    report = tmp_path / "report.xml"
    assert run(folder(tmp_path, text), "--junit", str(report))[0] == 1
    suite = ET.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["thick"]


@pytest.mark.parametrize(
    "name",
    ["samples/community-hospital", "samples/teleradiology", "samples/research-drop", "rules"],
)
def test_f94_every_sample_proves_its_rules(tmp_path, name):
    where = tmp_path / "site"
    shutil.copytree(PROJECT / name, where)
    with_files(where)
    code, output, errors = run(where)
    assert code == 0, output + errors
    assert not output.startswith("0 passed")
