"""C-FIND answered from what is held here: equal as sets to Orthanc's own answers, asked by findscu.

Both hold the same real files: those of the shared corpus that Orthanc takes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.conftest import RouterFactory
from tests.support import corpus
from tests.support import orthanc as orthanc_peer
from tests.support import storescp as storescp_peer
from tests.support.orthanc import Orthanc
from tests.support.planted_catalogue import entries, plant
from tests.support.process import run, wait_until
from tests.support.retrievers import Asker, as_options, patient_names
from tests.support.router_process import Router
from tests.support.storescp import dcmsend
from tests.support.synthetic import series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
stations:
  ws: {ae_title: WS, host: 127.0.0.1, port: 104, query_retrieve: true, heartbeat: {enabled: false}}
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  own:
    ae_title: OWN
    host: 127.0.0.1
    port: 104
    query_retrieve: true
    original_patient_id: true
    heartbeat: {enabled: false}
  hooked: {ae_title: HOOKED, host: 127.0.0.1, morph: {receive: [{prefix: {PatientID: HERE-}}]}}
"""
SMALL = ("pydicom/", "fo-dicom/", "pynetdicom/")
# Orthanc takes the escape sequences of JIS X 0201 beside JIS X 0208 for text.
MISREAD = "chrH32.dcm"
STUDIES = 8000


class Both:
    """The router and Orthanc, holding the same objects, and someone who asks either."""

    def __init__(self, folder: Path, edge: Router, archive: Orthanc) -> None:
        self.edge = edge
        self.ours = Asker(folder / "ours", edge.port)
        self.theirs = Asker(folder / "theirs", archive.dicom_port, called="ORTHANC")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Small real files with names of many scripts, in the router and in Orthanc."""
    if not orthanc_peer.is_installed() or not storescp_peer.is_installed():
        pytest.skip("LOUD: Orthanc or DCMTK is not installed")
    folder = tmp_path_factory.mktemp("both")
    archive = Orthanc(folder / "archive")
    edge = Router(folder / "edge", SITE)
    edge.start()
    found = [
        one.path
        for one in corpus.required()
        if one.storable
        and one.path.stat().st_size < 20_000
        and one.name.startswith(SMALL)
        and not one.name.endswith(MISREAD)
    ]
    taken = [path for path in [*found, portuguese(folder)] if is_taken(archive, path)]
    dcmsend(edge.port, taken, folder)
    asked = Both(folder, edge, archive)
    wait_until(
        lambda: len(asked.ours.find("StudyInstanceUID").objects) >= studies_held(edge),
        20,
        what="the catalogue has every study",
    )
    yield asked
    edge.assert_balanced()
    edge.stop()
    archive.kill()


def is_taken(archive: Orthanc, path: Path) -> bool:
    try:
        archive.raw("/instances", method="POST", body=path.read_bytes())
    except OSError:
        return False
    return True


def portuguese(folder: Path) -> Path:
    made = pydicom.dcmread(corpus.FOLDER / "pydicom/charset_files/chrFren.dcm")
    made.PatientName, made.PatientID, made.StudyDate = "Conceição^João", "PT-1", "20240229"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(made, keyword, generate_uid())
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    written = io.BytesIO()
    made.save_as(written)
    path = folder / "portuguese.dcm"
    path.write_bytes(written.getvalue())
    return path


def studies_held(edge: Router) -> int:
    """How many studies the ledger has, looked at from outside."""
    done = run(
        ["sqlite3", f"file:{edge.data_dir}/ledger/ledger.db?mode=ro",
         "SELECT count(DISTINCT study_instance_uid) FROM instance WHERE study_instance_uid <> ''"]
    )  # fmt: skip
    return int(done.stdout)


QUERIES = [
    {"PatientName": ""},
    {"PatientName": "*a*"},
    {"PatientName": "WANG^xiao?ong*"},
    {"PatientName": "Buc^J*"},
    {"PatientID": "*1*", "StudyDate": "19900101-"},
    {"PatientID": "id00001"},
    {"PatientID": "nobody has this"},
    {"StudyDate": "20040101-20041231"},
    {"StudyDate": "19000101-20000101"},
    {"StudyDate": "20240229"},
    {"StudyDate": "20040119", "StudyTime": "070000-080000"},
    {"ModalitiesInStudy": "CT"},
    {"ModalitiesInStudy": "CT\\MR"},
    {"AccessionNumber": "?*"},
]
SCRIPTS = [
    "*やまだ^たろう",
    "*김희중*",
    "*吉洞*",
    "*길동",
    "Διονυσιος",
    "*João",
    "Conceição^*",
    "Buc^Jérôme",
    "Люкceмбypг",
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_f95_answers_are_those_of_orthanc(both: Both, query: dict[str, str]) -> None:
    words = [*as_options(query), "StudyInstanceUID"]
    ours, theirs = both.ours.find(*words), both.theirs.find(*words)
    assert (ours.code_of_status, theirs.code_of_status) == ("0000", "0000")
    assert sorted(set(ours.uids())) == sorted(set(theirs.uids()))
    assert len(ours.uids()) == len(set(ours.uids()))
    if query == {"PatientName": ""}:
        assert len(ours.uids()) > 20


@pytest.mark.parametrize("name", SCRIPTS)
def test_names_of_every_script_are_found_and_told_alike(both: Both, name: str) -> None:
    words = ["SpecificCharacterSet=ISO_IR 192", f"PatientName={name}", "StudyInstanceUID"]
    ours, theirs = both.ours.find(*words), both.theirs.find(*words)
    assert sorted(set(ours.uids())) == sorted(set(theirs.uids()))
    assert ours.uids()
    assert patient_names(ours) == patient_names(theirs)


def test_an_answer_is_written_in_the_character_set_of_the_question(both: Both) -> None:
    for asked, name, told in (
        ("ISO_IR 192", "*김희중*", "ISO_IR 192"),
        ("ISO_IR 100", "Buc*", "ISO_IR 100"),
        ("ISO_IR 100", "*길동", "ISO_IR 192"),  # what it cannot hold is told in UTF-8
    ):
        key = f"PatientName={name}" if asked == "ISO_IR 192" or name == "Buc*" else "PatientID"
        found = both.ours.find(f"SpecificCharacterSet={asked}", key, "PatientName")
        sets = {one.get("SpecificCharacterSet") for one in found.objects}
        assert told in sets, (asked, name, sets)


def test_series_and_images_are_those_of_orthanc(both: Both) -> None:
    studies = sorted(set(both.theirs.find("StudyInstanceUID").uids()))[:4]
    listed = "StudyInstanceUID=" + "\\".join(studies)
    assert both.ours.find(listed).uids() == studies
    for study in studies:
        key = f"StudyInstanceUID={study}"
        words = ("SeriesInstanceUID", "Modality", "SeriesNumber", "NumberOfSeriesRelatedInstances")
        ours = both.ours.find(key, *words, level="SERIES")
        theirs = both.theirs.find(key, *words, level="SERIES")
        assert ours.uids("SeriesInstanceUID") == theirs.uids("SeriesInstanceUID")
        for left, right in zip(by_uid(ours), by_uid(theirs), strict=True):
            for keyword in words:
                assert str(left[keyword].value) == str(right[keyword].value), keyword
        for series_uid in ours.uids("SeriesInstanceUID"):
            image = (
                key,
                f"SeriesInstanceUID={series_uid}",
                "SOPInstanceUID",
                "Rows",
                "SOPClassUID",
            )
            ours = both.ours.find(*image, level="IMAGE")
            theirs = both.theirs.find(*image, level="IMAGE")
            assert ours.uids("SOPInstanceUID") == theirs.uids("SOPInstanceUID")
            assert ours.uids("SOPClassUID") == theirs.uids("SOPClassUID")


def by_uid(told):
    return sorted(told.objects, key=lambda one: str(one.SeriesInstanceUID))


def test_patient_root_and_related_numbers(both: Both) -> None:
    words = ("PatientID=PT-1", "PatientName", "NumberOfPatientRelatedStudies")
    found = both.ours.find(*words, level="PATIENT", options=("-P",))
    assert patient_names(found) == ["Conceição^João"]
    (one,) = found.objects
    assert (one.NumberOfPatientRelatedStudies, one.RetrieveAETitle) == (1, "EDGE_A")
    words = ("PatientID=PT-1", "StudyInstanceUID", "NumberOfStudyRelatedInstances")
    found = both.ours.find(*words, "InstanceAvailability", options=("-P",))
    (one,) = found.objects
    assert (one.NumberOfStudyRelatedInstances, one.InstanceAvailability) == (1, "ONLINE")


@pytest.mark.parametrize(
    ("level", "keys", "options", "status", "said"),
    [
        ("STUDY", (), ("-S",), "a900", "names no key"),
        ("", ("PatientID",), ("-S",), "a900", "QueryRetrieveLevel is missing"),
        ("PATIENT", ("PatientID",), ("-S",), "a900", "level"),
        ("NONSENSE", ("PatientID",), ("-S",), "a900", "level"),
        ("SERIES", ("SeriesInstanceUID",), ("-S",), "a900", "needs one StudyInstanceUID"),
        ("SERIES", ("StudyInstanceUID=1\\2",), ("-S",), "a900", "needs one StudyInstanceUID"),
        ("IMAGE", ("StudyInstanceUID=1",), ("-S",), "a900", "needs one SeriesInstanceUID"),
        ("STUDY", ("StudyInstanceUID=1",), ("-P",), "a900", "needs one PatientID"),
    ],
)
def test_bad_queries_are_told_what_is_wrong(
    both: Both, level: str, keys: tuple[str, ...], options: tuple[str, ...], status: str, said: str
) -> None:
    told = both.ours.find(*keys, level=level, options=options)
    assert (told.code_of_status, told.objects) == (status, ())
    assert said in told.words


def test_f33_who_may_not_query_hears_not_authorised(both: Both) -> None:
    for calling in ("CT1", "NOBODY"):
        asker = Asker(both.ours.folder / calling, both.edge.port, calling=calling)
        for told in (
            asker.find("PatientName"),
            asker.move("StudyInstanceUID=1.2"),
            asker.get("StudyInstanceUID=1.2"),
        ):
            assert (told.code_of_status, told.objects) == ("0124", ())


def test_f54_keys_that_are_not_supported_are_said(both: Both) -> None:
    told = both.ours.find("PatientName", "SeriesDescription=x", "(0040,0275)")
    assert "0xff01" in told.words
    assert len(told.objects) > 20


def test_f55_cancel_is_honoured_among_many_answers(tmp_path: Path, router: RouterFactory) -> None:
    edge = router(SITE, start=False)
    plant(edge.data_dir, STUDIES)
    edge.start()
    asker = Asker(tmp_path / "asked", edge.port)
    told = asker.find("PatientName", options=("-S", "--cancel", "3"))
    assert told.code_of_status == "fe00"
    assert 3 <= len(told.objects) < STUDIES
    told = asker.find("PatientName", level="PATIENT", options=("-P", "--cancel", "3"))
    assert told.code_of_status == "fe00"
    keys = ("PatientName=yamada*^TARŌ", "StudyDate=2020-", "ModalitiesInStudy=MR")
    found = asker.find("SpecificCharacterSet=ISO_IR 192", *keys)
    assert found.code_of_status == "0000"
    expected = [
        entry.study_instance_uid
        for entry in entries(STUDIES)
        if entry.attributes[0x00100010].startswith("Yamada")
        and entry.attributes[0x00100010].endswith("^Tarō")
        and entry.attributes[0x00080020] >= "2020"
        and entry.attributes[0x00080060] == "MR"
    ]
    assert len(expected) > 10
    assert found.uids() == sorted(expected)


def test_hooks_of_receive_are_seen_and_patient_data_is_in_no_file(
    tmp_path: Path, router: RouterFactory
) -> None:
    edge = router(SITE)
    planted = {0x00100010: ("PN", "PLANTED^PATIENT"), 0x00100020: ("LO", "PLANTED-1")}
    paths = [one.write(tmp_path) for one in series(2, rows=16, columns=16, changes=planted)]
    dcmsend(edge.port, paths, tmp_path, calling_ae_title="HOOKED")
    asker = Asker(tmp_path / "asked", edge.port)
    wait_until(
        lambda: asker.find("PatientID=HERE-PLANTED-1").objects != (), 10, what="it is listed"
    )
    assert patient_names(asker.find("PatientID=HERE-*", "PatientName")) == ["PLANTED^PATIENT"]
    assert asker.find("PatientID=PLANTED-1").objects == ()
    assert edge.process is not None
    searched = [*edge.data_dir.rglob("*"), edge.process.log]
    for path in searched:
        if path.is_file():
            assert b"PLANTED" not in path.read_bytes(), path
    edge.restart()
    assert patient_names(asker.find("PatientName=planted*")) == ["PLANTED^PATIENT"]


def test_f34_a_station_that_gets_original_ids_asks_by_them_and_is_told_them(
    tmp_path: Path, router: RouterFactory
) -> None:
    edge = router(SITE)
    planted = {0x00100020: ("LO", "OWN-1"), 0x00100021: ("LO", "THEIRS")}
    sent = [one.write(tmp_path) for one in series(2, rows=8, columns=8, changes=planted)]
    dcmsend(edge.port, sent, tmp_path, calling_ae_title="HOOKED")
    others = Asker(tmp_path / "others", edge.port)
    own = Asker(tmp_path / "own", edge.port, calling="OWN")
    wait_until(lambda: others.find("PatientID=HERE-OWN-1").objects != (), 10, what="it is listed")
    for key in ("PatientID=OWN-1", "PatientID=OWN*", "IssuerOfPatientID=THEIRS", "PatientID"):
        (told,) = own.find(key, "PatientID", "StudyInstanceUID", "PatientName").objects
        assert told.PatientID == "OWN-1", key
    assert own.find("PatientID=HERE-OWN-1").objects == ()
    assert others.find("PatientID=OWN-1").objects == ()
    got = own.get(f"StudyInstanceUID={told.StudyInstanceUID}")
    assert {one.PatientID for one in got.objects} == {"OWN-1"}


def test_p4_an_object_is_told_and_handed_out_under_the_hook_it_came_under(
    tmp_path: Path, router: RouterFactory
) -> None:
    edge = router(SITE)
    for seed, prefix in ((1, "HERE-"), (2, "THERE-")):
        edge.write(SITE.replace("HERE-", prefix))
        edge.restart()
        sent = [one.write(tmp_path) for one in series(1, seed=seed, rows=8, columns=8)]
        dcmsend(edge.port, sent, tmp_path, calling_ae_title="HOOKED")
    asker = Asker(tmp_path / "asked", edge.port)
    told = lambda: sorted(str(one.PatientID) for one in asker.find("PatientID").objects)  # noqa: E731
    wait_until(lambda: len(told()) == 2, 10, what="both are listed")
    here, there = told()
    assert (here[:5], there[:6]) == ("HERE-", "THERE-")
    for patient in (here, there):
        study = asker.find(f"PatientID={patient}", "StudyInstanceUID").uids()[0]
        got = asker.get(f"StudyInstanceUID={study}")
        assert [one.PatientID for one in got.objects] == [patient]
