"""Fetch priors: a study comes in, and the patient's earlier ones are fetched from Orthanc and routed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.model.task import TaskFilter
from tests.conftest import OrthancFactory, RouterFactory
from tests.support.ledger_view import ledger_of
from tests.support.orthanc import Orthanc
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.synthetic import Synthetic, instance

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  archive:
    {ae_title: ORTHANC, host: 127.0.0.1, port: $pacs, query_retrieve: true, archive_server: true}
  other: {ae_title: OTHER, host: 127.0.0.1, port: $other, query_retrieve: true}
  reading-room: {type: folder, path: "$drop", send: true}
rules:
  - name: what comes from the scanner
    match: {from: ct-1}
    route: [reading-room]
    fetch_priors: {modality: same, description: [chest, thorax], at_most: 2$more}
  - {name: priors, match: {from: archive}, route: [reading-room]}
"""
PATIENT, STRANGER = "P-4711", "P-47*"


def image(
    study: int, date: str, *, description: str, patient: str = PATIENT, modality: str = "CT"
) -> Synthetic:
    changes = {
        0x00080020: ("DA", date),
        0x00080061: ("CS", modality),
        0x00081030: ("LO", description),
        0x00100020: ("LO", patient),
    }
    return instance(study * 100, study=study, modality=modality, rows=8, columns=8, changes=changes)  # type: ignore[arg-type]


OLD = {
    "oldest": image(1, "20190101", description="Thorax native"),
    "older": image(2, "20220101", description="CHEST ROUTINE"),
    "newer": image(3, "20240101", description="Chest follow-up"),
    "head": image(4, "20250101", description="HEAD"),
    "mr": image(5, "20250101", description="CHEST", modality="MR"),
    "stranger": image(6, "20250101", description="CHEST", patient="P-4712"),
}


class Site:
    def __init__(self, work: Path, router: RouterFactory, orthanc: OrthancFactory) -> None:
        self.drop = work / "drop"
        self.drop.mkdir()
        self.edge: Router = router(SITE, start=False, pacs=104, other=104, drop=self.drop, more="")
        modalities = {"edge": ["EDGE_A", "127.0.0.1", self.edge.port]}
        self.archive: Orthanc = orthanc(settings={"DicomModalities": modalities})
        for one in OLD.values():
            self.archive.raw("/instances", method="POST", body=one.part10())

    def start(self, more: str = "", pacs: int = 0) -> None:
        ports = {"pacs": pacs or self.archive.dicom_port, "other": 104}
        self.edge.write(SITE, drop=self.drop, more=more, **ports)
        self.edge.start()

    def priors(self) -> list[tuple[str, str]]:
        with ledger_of(self.edge.data_dir) as ledger:
            return [(one.state, one.message) for one in ledger.priors()]

    def dropped(self) -> int:
        return len(list(self.drop.rglob("*.dcm")))


@pytest.fixture
def site(tmp_path: Path, router: RouterFactory, orthanc: OrthancFactory) -> Iterator[Site]:
    yield Site(tmp_path, router, orthanc)


def test_f23_f99_the_latest_that_are_meant_are_fetched_once_and_routed(site: Site) -> None:
    site.start()
    now = [image(9, "20261101", description="CHEST"), image(9, "20261101", description="CHEST")]
    assert set(scan(site.edge.port, now[:1]).values()) == {0}
    wait_until(lambda: site.priors() and site.priors()[0][0] == "fetched", 20, what="priors")
    assert site.priors() == [("fetched", "2 studies fetched, 0 were here")]
    wait_until(lambda: site.dropped() == 3, 20, what="they are routed")
    with ledger_of(site.edge.data_dir) as ledger:
        tasks = ledger.tasks(wanted=TaskFilter(kind="retrieve"))
        assert [(one.station, one.status, one.delivered) for one in tasks] == [
            ("archive", "Completed", 1)
        ] * 2
        assert {one.requester for one in tasks} == {"what comes from the scanner"}
        assert {one.study_instance_uid for one in tasks} == {
            OLD[name].study_instance_uid for name in ("older", "newer")
        }
        asking = now[0].sop_instance_uid
        note = f"earlier study, for instance {asking} of study {now[0].study_instance_uid}"
        assert {one.note for one in tasks} == {note}
        for name, one in OLD.items():
            held = len(ledger.find_instances(one.sop_instance_uid))
            assert held == (1 if name in {"older", "newer"} else 0), name
    # Another study of the patient: what is here is not fetched again, and priors ask for none.
    later = image(10, "20261102", description="CHEST")
    assert set(scan(site.edge.port, [later]).values()) == {0}
    wait_until(lambda: len(site.priors()) == 2 and site.priors()[0][0] == "fetched", 20, what="2")
    assert site.priors()[0] == ("fetched", "0 studies fetched, 2 were here")
    assert site.edge.account()["received"] == 4
    code, told, errors = site.edge.command("priors", "fetch", later.study_instance_uid)
    assert code == 0, errors
    wait_until(lambda: site.priors()[0][0] == "fetched", 20, what="asked once more")
    code, told, _ = site.edge.command("priors", "list", "--format", "json")
    assert [one["tries"] for one in json.loads(told)["priors"]] == [1, 1]
    assert site.edge.command("priors", "fetch", "1.2.3")[0] == 1, "of it nothing is held"
    file = later.write(site.drop)
    code, told, errors = site.edge.command("explain", str(file), "--from", "ct-1")
    assert "fetches earlier studies: the latest 2 of the patient, modality same" in told, errors
    assert "described as chest or thorax, from archive" in told
    assert "fetches" not in site.edge.command("explain", str(file), "--from", "archive")[1]


def test_f99_who_is_not_named_exactly_gets_nobody_elses_images(site: Site) -> None:
    site.start()
    pattern = image(9, "20261101", description="CHEST", patient=STRANGER)
    nobody = image(11, "20261101", description="CHEST", patient="")
    assert set(scan(site.edge.port, [pattern, nobody]).values()) == {0}
    wait_until(
        lambda: [state for state, _ in site.priors()] == ["fetched"] * 2, 40, what="both looks"
    )
    assert {message for _, message in site.priors()} == {
        "0 studies fetched, 0 were here",
        "the study has no Patient ID",
    }
    assert site.edge.account()["received"] == 2


def test_f99_an_archive_that_is_away_is_asked_later(site: Site) -> None:
    port = site.archive.dicom_port
    site.start(pacs=1)
    assert set(scan(site.edge.port, [image(9, "20261101", description="CHEST")]).values()) == {0}
    wait_until(lambda: bool(site.priors()) and site.priors()[0][1] != "", 20, what="the trouble")
    state, message = site.priors()[0]
    assert state == "waiting" and message.startswith("0 studies fetched, 0 were here; archive")
    wait_until(lambda: site.dropped() == 1, 20, what="the study itself goes its way")
    site.edge.stop()
    site.start(pacs=port)
    wait_until(lambda: site.priors()[0][0] == "fetched", 90, what="it is back")
    assert site.priors()[0][1] == "2 studies fetched, 0 were here"


def test_f99_outside_its_hours_nothing_is_asked(site: Site) -> None:
    site.start(more=', hours: "00:00-00:01"')
    assert set(scan(site.edge.port, [image(9, "20261101", description="CHEST")]).values()) == {0}
    wait_until(lambda: bool(site.priors()) and site.priors()[0][1] != "", 20, what="the look")
    assert site.priors() == [("waiting", "outside its hours")]
    assert site.edge.account()["received"] == 1
