"""The solver against the engine: a yes has a witness the engine agrees to, a no has no exception."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from router.analysis.answers import Can
from router.analysis.example import Laboratory
from router.analysis.solver import Solver
from router.config.load import load_texts
from router.dicom.header import HeaderReader
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.flow.route import decide
from router.match.facts import Facts
from router.model.instance import Source
from tests.support.configuration import all_plugs
from tests.unit.match.test_truth_table import encoded

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE, data_dir: data, organization: Clinic}
listeners: {lan: {type: dimse, bind: "127.0.0.1:11112", accept: any}}
stations:
  ct-1: {ae_title: CT1, host: 10.1.1.21}
  mr-1: {ae_title: MR1, host: mr.example}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
"""
OPERATORS = {operator.name: operator for operator in all_plugs().operators}
MORPHS = {morph.name: morph for morph in all_plugs().morphs}


def plan_of(*matches: str):
    rules = "".join(
        f"  - {{name: rule {place}, match: {match}, route: [pacs]}}\n"
        for place, match in enumerate(matches)
    )
    result = load_texts({"a.yaml": f"{SITE}rules:\n{rules}"}, Path("/site"), all_plugs())
    assert result.plan is not None, result.render()
    return result.plan


def asked(match: str, *, without: tuple[str, ...] = ()):
    """What the solver says of a condition outside of others, and what it is."""
    plan = plan_of(match, *without)
    solver = Solver(plan, OPERATORS)
    forms = [solver.form(rule, negated=place > 0) for place, rule in enumerate(plan.rules)]
    return plan, solver, solver.can(solver.together(*forms))


def implies(narrow: str, wide: str) -> Can:
    """Whether something meets the narrow condition and not the wide one."""
    return asked(narrow, without=(wide,))[2].can


IMPLIED = [
    ("{Modality: CT}", "{Modality: [CT, MR]}"),
    ("{Modality: CT}", "{not: {Modality: MR}}"),
    ("{Modality: CT}", "{Modality: {exists: true}}"),
    ("{Modality: CT}", "{Modality: {empty: false}}"),
    ("{Modality: {glob: 'C*'}}", "{Modality: {regex: '^C'}}"),
    ("{StudyDescription: {regex: '(?i)chest'}}", "{StudyDescription: {regex: '(?i)chest|thorax'}}"),
    ("{PatientID: {glob: 'TEST1*'}}", "{PatientID: {glob: 'TEST*'}}"),
    ("{InstanceNumber: {gt: 5}}", "{InstanceNumber: {ge: 6}}"),
    ("{InstanceNumber: {between: [2, 4]}}", "{InstanceNumber: [2, 3, 4]}"),
    ("{SliceThickness: 1.5}", "{SliceThickness: {lt: 2}}"),
    ("{StudyDate: {between: [20240105, 20240110]}}", "{StudyDate: 202401}"),
    ("{from: ct-1}", "{from: [ct-1, pacs]}"),
    ("{from: ct-1}", "{calling_ae_title: CT1}"),
    ("{from: ct-1}", "{address: 10.1.0.0/16}"),
    ("{address: 10.1.1.0/24}", "{address: 10.1.0.0/16}"),
    ("{time: '20:00-06:00'}", "{time: '19:00-07:00'}"),
    ("{weekday: [sat, sun]}", "{not: {weekday: [mon, tue, wed, thu, fri]}}"),
    ("{sop_class: CT Image Storage}", "{sop_class: '1.2.840.10008.5.1.4.1.1.2'}"),
    ("{}", "{organization: Clinic}"),
    ("{ImageType: ORIGINAL}", "{ImageType: [ORIGINAL, DERIVED]}"),
    ("{PatientName: 'DOE^JANE'}", "{PatientName: ['DOE^JANE', 'ROE^JOHN']}"),
    ("{any: [{Modality: CT}, {Modality: MR}]}", "{Modality: [MR, CT]}"),
]
NOT_IMPLIED = [
    ("{Modality: [CT, MR]}", "{Modality: CT}"),
    ("{}", "{Modality: {exists: true}}"),
    ("{StudyDescription: {regex: '(?i)chest|thorax'}}", "{StudyDescription: {regex: '(?i)chest'}}"),
    ("{InstanceNumber: {ge: 5}}", "{InstanceNumber: {gt: 5}}"),
    ("{ImageType: ORIGINAL}", "{not: {ImageType: PRIMARY}}"),
    ("{PatientName: {regex: '^DOE'}}", "{PatientName: 'DOE^JANE'}"),
    ("{from: mr-1}", "{address: 10.1.0.0/16}"),
    ("{address: 10.1.0.0/16}", "{address: 10.1.1.0/24}"),
    ("{calling_ae_title: CT1}", "{from: ct-1}"),
    ("{time: '19:00-07:00'}", "{time: '20:00-06:00'}"),
    ("{StudyTime: {ge: 14:00}}", "{StudyTime: {gt: 15:30}}"),
    ("{PatientAge: {ge: 018Y}}", "{PatientAge: {ge: 019Y}}"),
    ("{'RequestAttributesSequence[*].ScheduledProcedureStepID': A}", "{Modality: CT}"),
    ("{'0009,[ACME],01': {glob: 'A*'}}", "{'0009,[ACME],01': A}"),
]


@pytest.mark.parametrize(("narrow", "wide"), IMPLIED)
def test_what_implies_another_leaves_nothing_outside_of_it(narrow, wide):
    assert implies(narrow, wide) is Can.NO


@pytest.mark.parametrize(("narrow", "wide"), NOT_IMPLIED)
def test_what_does_not_imply_another_has_a_witness_the_engine_agrees_to(narrow, wide):
    plan, solver, answer = asked(narrow, without=(wide,))
    assert answer.can is Can.YES
    laboratory = Laboratory(plan, solver, MORPHS)
    specimen = laboratory.specimen(answer.value)
    assert laboratory.decide(specimen).rules == ("rule 0",)


@pytest.mark.parametrize(
    ("match", "without"),
    [
        ("{StudyDescription: {regex: '\\bCT\\b'}}", "{StudyDescription: {regex: CT}}"),
        ("{AcquisitionDateTime: {ge: '20240101+0100'}}", "{AcquisitionDateTime: {ge: '2024'}}"),
    ],
)
def test_what_it_does_not_understand_is_unknown(match, without):
    assert implies(match, without) in (Can.UNKNOWN, Can.YES)
    assert implies(match, match) is Can.NO


LITERALS = st.sampled_from(["CT", "MR", "US", "C", "CTA"])
TESTS = st.one_of(
    LITERALS,
    st.lists(LITERALS, min_size=1, max_size=3),
    st.fixed_dictionaries({"glob": st.sampled_from(["C*", "*T", "?T", "*", "C*A", "MR"])}),
    st.fixed_dictionaries({"regex": st.sampled_from(["^C", "T$", "(?i)ct|mr", "^[CM]", "A"])}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"empty": st.booleans()}),
)
NUMBERS = st.one_of(
    st.integers(0, 6),
    *(st.fixed_dictionaries({name: st.integers(0, 6)}) for name in ("gt", "ge", "lt", "le")),
)
ENTRY = st.one_of(
    st.tuples(st.just("Modality"), TESTS),
    st.tuples(st.just("ImageType"), TESTS),
    st.tuples(st.just("InstanceNumber"), NUMBERS),
    st.tuples(st.just("from"), st.sampled_from(["ct-1", "mr-1", ["ct-1", "pacs"]])),
    st.tuples(st.just("calling_ae_title"), st.sampled_from(["CT1", "X", {"glob": "*1"}])),
).map(lambda pair: dict([pair]))
CONDITION = st.recursive(
    ENTRY,
    lambda inner: st.one_of(
        inner.map(lambda each: {"not": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(CONDITION, CONDITION, st.data())
def test_yes_is_confirmed_and_no_has_no_exception(match, other, data):
    plan, solver, answer = asked(json.dumps(match), without=(json.dumps(other),))
    laboratory = Laboratory(plan, solver, MORPHS)
    if answer.can is Can.YES:
        specimen = laboratory.specimen(answer.value)
        if specimen is not None:
            assert laboratory.decide(specimen).rules == ("rule 0",)
    elif answer.can is Can.NO:
        pick = data.draw
        for _ in range(3):
            entries = {
                "Modality": pick(st.sampled_from([None, "", "CT", "MR", "US", "CTA", "XT", "A"])),
                "ImageType": pick(st.sampled_from([None, "", "CT", "CT\\MR", "A\\C", "CTA\\T"])),
                "InstanceNumber": pick(st.sampled_from([None, *map(str, range(-1, 8))])),
            }
            station = pick(st.sampled_from(["ct-1", "mr-1", "pacs"]))
            assert ruled(plan, station, entries) != ("rule 0",)


def ruled(plan, station, entries):
    data_set = Dataset()
    for keyword, value in entries.items():
        if value is not None:
            setattr(data_set, keyword, value)
    reader = HeaderReader(EXPLICIT_VR_LITTLE_ENDIAN, plan.needs)
    reader.feed(encoded(data_set))
    reader.finish()
    known = plan.stations[station]
    address = known.host if known.host[0].isdigit() else "192.0.2.1"
    source = Source("lan", known.ae_title, "EDGE", address, station)
    facts = Facts(reader, source, EXPLICIT_VR_LITTLE_ENDIAN, "1.2", 0.0, "Clinic")
    return decide(plan, facts).rules
