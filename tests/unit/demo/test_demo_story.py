"""The parts of the demo: a configuration that loads and routes, images anyone can read, neighbours."""

from __future__ import annotations

import base64
import hashlib
import stat
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from router.clock import Clock
from router.config.load import load
from router.demo.cloud_faults import FINE, Fault, Script
from router.demo.cloud_state import CloudState
from router.demo.configuration import BROKEN_RULE, Neighbours, write_configuration
from router.demo.images import COLUMNS, ROWS, StudyPlan, make_study
from router.demo.neighbours import PretendArchive, PretendScanner, free_port, listening_socket
from router.demo.story import CT_CHEST, MR_BRAIN
from router.dicom.header import HeaderReader
from router.dicom.part10 import file_meta
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.errors import RouterError
from router.flow.route import decide
from router.match.facts import Facts
from router.model.instance import Source
from router.model.plan import Plan
from router.model.rule import Decision
from router.threads import Threads
from tests.support.configuration import all_plugs
from tests.unit.morph.test_steps import image, morphed

NEIGHBOURS = Neighbours(
    dicom_port=11112,
    http_port=8080,
    pacs_port=104,
    night_port=105,
    cloud_url="http://localhost:9/v2",
    token_url="http://localhost:9/token",
    client_id="edge-a",
    client_secret="of-the-demo",
    scope="dicom.store",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "config", NEIGHBOURS, tmp_path / "data")
    return tmp_path / "config"


@pytest.fixture
def plan(folder: Path) -> Plan:
    result = load(folder, all_plugs(), environment={})
    assert result.problems == (), result.render()
    assert result.plan is not None
    return result.plan


def decided(plan: Plan, study: StudyPlan) -> Decision:
    first = next(iter(make_study(study)))
    reader = HeaderReader(EXPLICIT_VR_LITTLE_ENDIAN, plan.needs)
    reader.feed(first.data_set)
    reader.finish()
    source = Source("lan", "CT1", "EDGE_A", "127.0.0.1", "ct-1")
    return decide(plan, Facts(reader, source, EXPLICIT_VR_LITTLE_ENDIAN, study.sop_class_uid, 0.0))


def test_the_configuration_of_the_demo_is_one_an_operator_could_have_written(plan: Plan) -> None:
    assert sorted(plan.stations) == ["cloud", "ct-1", "night-reading", "pacs"]
    assert plan.stations["cloud"].url == NEIGHBOURS.cloud_url
    assert (plan.listeners["lan"].port, plan.listeners["admin"].port) == (11112, 8080)
    assert all(listener.host == "127.0.0.1" for listener in plan.listeners.values())


def test_its_secret_stands_in_a_file_of_its_own_for_its_owner_only(folder: Path) -> None:
    secret = folder / "cloud-secret"
    assert secret.read_text() == "of-the-demo"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not [file for file in folder.glob("*.yaml") if "of-the-demo" in file.read_text("utf-8")]


def test_chest_goes_to_archive_and_cloud_and_brain_to_archive_and_night(plan: Plan) -> None:
    assert [owed.station for owed in decided(plan, CT_CHEST).owed] == ["pacs", "cloud"]
    assert [owed.station for owed in decided(plan, MR_BRAIN).owed] == ["pacs", "night-reading"]


def test_the_cloud_gets_no_name_and_the_archive_every_byte(plan: Plan) -> None:
    pacs, cloud = decided(plan, CT_CHEST).owed
    assert pacs.recipe.is_empty
    result = morphed(image(), *cloud.recipe.unpacked())
    assert str(result.PatientName) == "ANONYMOUS"
    assert result.AccessionNumber == "HSPA-A1"


def test_the_broken_rule_of_the_story_has_exactly_its_one_mistake(folder: Path) -> None:
    (folder / "zz.yaml").write_text(BROKEN_RULE, encoding="utf-8")
    (problem,) = load(folder, all_plugs(), environment={}).problems
    assert (problem.code, problem.place.line) == ("DR210", 5)
    assert "'StudyDescription'" in problem.hint


@pytest.mark.parametrize("study", [CT_CHEST, MR_BRAIN], ids=["chest", "brain"])
def test_every_image_is_a_complete_object_for_others_too(study: StudyPlan) -> None:
    images = list(make_study(study))
    assert len(images) == study.images
    seen = set()
    for number, made in enumerate(images, 1):
        meta = file_meta(made.sop_class_uid, made.sop_instance_uid, made.transfer_syntax_uid)
        data_set = dcmread(BytesIO(meta + made.data_set))
        data_set.decode()
        assert data_set.SOPInstanceUID == made.sop_instance_uid
        assert data_set.InstanceNumber == number
        assert (data_set.Modality, str(data_set.PatientName)) == (
            study.modality,
            study.patient_name,
        )
        assert len(data_set.PixelData) == ROWS * COLUMNS * 2
        assert len(made.data_set) % 2 == 0
        seen.add((data_set.StudyInstanceUID, data_set.SeriesInstanceUID))
        assert len(made.sop_instance_uid) <= 64
    assert len(seen) == 1
    assert len({made.data_set for made in images}) == study.images


def test_the_same_plan_makes_the_same_images_and_another_seed_others() -> None:
    assert list(make_study(CT_CHEST)) == list(make_study(CT_CHEST))
    uids = {made.sop_instance_uid for made in (*make_study(CT_CHEST), *make_study(MR_BRAIN))}
    assert len(uids) == CT_CHEST.images + MR_BRAIN.images


@pytest.fixture
def archive() -> Iterator[PretendArchive]:
    threads = Threads(lambda name, error: None)
    running = PretendArchive(threads, Clock())
    yield running
    threads.stop.set()
    running.close()


def small(images: int) -> StudyPlan:
    return StudyPlan(7, "CT", CT_CHEST.sop_class_uid, "X", "A^B", "1", images)


def test_the_archive_keeps_the_digest_of_what_the_scanner_sent(archive: PretendArchive) -> None:
    images = list(make_study(small(3)))
    acknowledged = PretendScanner("CT1", archive.port, "PACS").send(images)
    assert acknowledged == archive.received()
    assert acknowledged == {
        made.sop_instance_uid: hashlib.sha256(made.data_set).hexdigest() for made in images
    }
    assert not archive.has_dropped()


def test_the_archive_drops_once_as_told_and_takes_all_the_next_time(
    archive: PretendArchive,
) -> None:
    images = list(make_study(small(3)))
    archive.drop_after(2)
    scanner = PretendScanner("CT1", archive.port, "PACS")
    with pytest.raises(RouterError):
        scanner.send(images)
    deadline = time.monotonic() + 10
    while not archive.has_dropped() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(archive.received()) == [images[0].sop_instance_uid]
    assert len(scanner.send(images)) == 3
    assert len(archive.received()) == 3


def test_free_ports_are_free_and_sockets_are_on_this_machine_only() -> None:
    with listening_socket() as bound:
        host, port = bound.getsockname()
        assert host == "127.0.0.1"
        assert free_port() != port


def test_a_script_gives_its_faults_in_order_then_what_is_always() -> None:
    script = Script()
    assert script.next() == FINE
    script.add(Fault(status=503), Fault(drop=True))
    script.always(Fault(status=429))
    assert [script.next() for _ in range(4)] == [
        *(Fault(status=503), Fault(drop=True), Fault(status=429), Fault(status=429)),
    ]


def test_a_script_gives_each_fault_once_to_however_many_threads() -> None:
    script = Script()
    script.add(*(Fault(status=500 + number) for number in range(90)))
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(script.next().status or 0 for _ in range(30)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(500, 590))


FORM = {"client_id": "edge-a", "client_secret": "demo-secret"}


@pytest.mark.parametrize(
    ("form", "user", "known"),
    [
        (FORM, "", True),
        ({**FORM, "client_secret": "no"}, "", False),
        ({**FORM, "client_id": "other"}, "", False),
        ({}, "edge-a:demo-secret", True),
        ({}, "edge-a:demo%2Dsecret", True),
        ({}, "edge-a:no", False),
        ({"client_id": "edge-a", "client_assertion": "signed"}, "", False),
        ({}, "", False),
    ],
)
def test_f41_who_the_cloud_knows(form: dict[str, str], user: str, known: bool) -> None:
    header = f"Basic {base64.b64encode(user.encode()).decode()}" if user else ""
    assert CloudState().is_known_client(form, header) is known


def test_f43_an_assertion_is_taken_when_it_proves_itself() -> None:
    cloud = CloudState(verify_assertion=lambda assertion: assertion == "signed")
    form = {"client_id": "edge-a", "client_assertion": "signed"}
    assert cloud.is_known_client(form, "")
    assert not cloud.is_known_client({**form, "client_assertion": "forged"}, "")


def test_f41_a_token_is_good_until_it_ends_or_is_revoked() -> None:
    cloud = CloudState(token_seconds=60)
    token, seconds = cloud.new_token()
    assert seconds == 60
    assert cloud.is_authorised(f"Bearer {token}")
    assert not cloud.is_authorised(token)
    assert not cloud.is_authorised("Bearer x")
    assert not cloud.is_authorised("")
    cloud.revoke_tokens()
    assert not cloud.is_authorised(f"Bearer {token}")
    assert CloudState(require_token=False).is_authorised("")
