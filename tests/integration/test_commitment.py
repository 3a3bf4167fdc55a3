"""Storage commitment: a modality asks the router, which asks the archive, and never says yes of itself.

Judges are pynetdicom (the scripted modality and archive) and Orthanc (its own provider and user of it).
"""

from __future__ import annotations

import json
import re

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.conftest import OrthancFactory, RouterFactory, StoreScpFactory
from tests.support.commitment import Archive, Modality, report, request, sent, uids
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.synthetic import series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
defaults:
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1, port: $modality}
  mute: {ae_title: MUTE, host: 127.0.0.1}
  pacs: {ae_title: $title, host: 127.0.0.1, port: $destination, send: true, commit: $commit}
rules:
  - {name: everything to the archive, route: [pacs]}
"""


def site(
    router: RouterFactory, modalities: list[Modality], destination: int, **names: object
) -> tuple[Router, Modality]:
    port = free_port()
    known = {"title": "PACS", "commit": "true", **names}
    edge = router(SITE, destination=destination, modality=port, **known)
    modalities.append(Modality(edge.port, port))
    return edge, modalities[-1]


@pytest.mark.parametrize("same_association", [True, False], ids=["same", "own"])
def test_f37_the_modality_hears_what_the_archive_committed(
    router: RouterFactory,
    archives: list[Archive],
    modalities: list[Modality],
    same_association: bool,
) -> None:
    destination = free_port()
    edge, modality = site(router, modalities, destination)
    archives.append(Archive(destination, edge.port, same_association=same_association))
    modality.up()
    references = sent(edge, list(series(3)))
    asked = request(references)
    assert modality.ask(asked) == 0
    (told,) = modality.await_reports(1)
    assert told.event_type == 1
    assert told.is_provider, "the report came without the role of provider"
    assert told.data_set.TransactionUID == asked.TransactionUID
    assert told.committed == uids(references) and not told.failed
    asked_there = {
        str(item.ReferencedSOPInstanceUID)
        for one in archives[0].requests
        for item in one.ReferencedSOPSequence
    }
    assert asked_there == uids(references), "the archive was not asked"
    wait_until(lambda: archives[0].statuses, 10, what="the archive's report is answered")
    assert set(archives[0].statuses) == {0}
    assert edge.deliveries()["delivered"] == 3


def test_p9_nothing_is_confirmed_from_the_spool(
    router: RouterFactory, archives: list[Archive], modalities: list[Modality]
) -> None:
    """The archive is away, then takes the objects and is silent about them: no word to the modality."""
    destination = free_port()
    edge, modality = site(router, modalities, destination)
    modality.up()
    references = sent(edge, list(series(2)))
    assert modality.ask(request(references)) == 0
    silent = Archive(destination, edge.port, lambda _asked: None)
    archives.append(silent)
    wait_until(lambda: silent.requests, 30, what="the archive is asked to commit")
    counts = edge.deliveries()
    assert (counts["sent"], counts["delivered"]) == (2, 0)
    assert modality.reports == []
    edge.assert_balanced()
    # Long after it was asked the archive reports; and only then the modality hears of it.
    modality_of_archive = Modality(edge.port, 0, "PACS")
    for one in silent.requests:
        assert modality_of_archive.tell(*report(one, {})) == 0
    (told,) = modality.await_reports(1)
    assert told.committed == uids(references)


def test_what_the_archive_does_not_commit_is_sent_again(
    router: RouterFactory, archives: list[Archive], modalities: list[Modality]
) -> None:
    destination = free_port()
    edge, modality = site(router, modalities, destination)
    modality.up()
    lost, kept = list(series(2))
    answers = iter([{lost.sop_instance_uid: 0x0112}])
    archive = Archive(destination, edge.port, lambda asked: report(asked, next(answers, {})))
    archives.append(archive)
    references = sent(edge, [lost, kept])
    assert modality.ask(request(references)) == 0
    (told,) = modality.await_reports(1)
    assert told.committed == uids(references)
    assert archive.stored.count(lost.sop_instance_uid) == 2
    assert archive.stored.count(kept.sop_instance_uid) == 1


def test_what_the_archive_never_commits_is_dead_with_its_reason(
    router: RouterFactory, archives: list[Archive], modalities: list[Modality]
) -> None:
    destination = free_port()
    edge, modality = site(router, modalities, destination)
    modality.up()
    images = list(series(2))
    lost, kept = images
    reasons = {lost.sop_instance_uid: 0x0110}
    archives.append(Archive(destination, edge.port, lambda asked: report(asked, reasons)))
    references = sent(edge, images)
    assert modality.ask(request(references)) == 0
    (told,) = modality.await_reports(1, 60)
    assert told.event_type == 2
    assert told.committed == {kept.sop_instance_uid}
    assert told.failed == {lost.sop_instance_uid: 0x0110}
    assert edge.deliveries()["dead"] == 1
    code, output, _ = edge.command("tasks", "list", "--status", "Failed")
    assert "0x0110 processing failure" in output, (code, output)
    code, output, _ = edge.command("explain", "--instance", lost.sop_instance_uid)
    assert code == 0
    assert "not committed: 0x0110" in output
    assert "commitment asked by ct-1" in output and "0x0110" in output


def test_the_report_waits_for_the_modality_through_a_restart(
    router: RouterFactory, storescp: StoreScpFactory, modalities: list[Modality]
) -> None:
    """Without `commit: true` the acknowledgement of the destination decides (DCMTK's storescp)."""
    archive = storescp(ae_title="PACS")
    edge, modality = site(router, modalities, archive.port, commit="false")
    references = sent(edge, list(series(2)))
    assert modality.ask(request(references)) == 0
    wait_until(
        lambda: "commitment not reported" in edge.tail(), 20, what="the modality is found away"
    )
    edge.kill()
    edge.start()
    modality.status = 0x0110  # and now it is there, but cannot take the report
    modality.up()
    wait_until(lambda: "N-EVENT-REPORT: 0x0110" in edge.tail(), 30, what="it refused the report")
    modality.status = 0
    (told,) = modality.await_reports(1, 40)
    assert told.committed == uids(references)


def test_the_task_log_has_what_a_modality_asks_and_a_person_ends_and_repeats_it(
    router: RouterFactory, storescp: StoreScpFactory, modalities: list[Modality]
) -> None:
    archive = storescp(ae_title="PACS")
    edge, modality = site(router, modalities, archive.port, commit="false")
    references = sent(edge, list(series(2)))
    assert modality.ask(request([*references, (references[0][0], "1.2.3")])) == 0

    def task() -> dict[str, object]:
        code, output, _ = edge.command("tasks", "list", "--direction", "commit", "--format", "json")
        (found,) = json.loads(output)["tasks"]
        assert code == 0 and isinstance(found, dict)
        return found

    wait_until(lambda: task()["status"] == "On Hold", 40, what="the modality is found away")
    assert "did not take the report" in str(task()["status_reason"])
    number = str(task()["task_id"])
    assert (task()["objects"], task()["delivered"], task()["dead"]) == (3, 2, 1)
    code, _, errors = edge.command("tasks", "hold", number)
    assert code == 1 and "retried or cancelled" in errors
    assert edge.command("tasks", "cancel", number)[:2] == (0, "1 commitments cancelled\n")
    assert task()["status"] == "Cancelled"
    modality.up()
    asked = request([*references, (references[0][0], "1.2.4")])
    assert modality.ask(asked) == 0
    (told,) = modality.await_reports(1, 60)
    assert told.data_set.TransactionUID == asked.TransactionUID, "of the other nothing is said"
    code, output, _ = edge.command("tasks", "list", "--direction", "commit")
    assert "1 of 3 not committed: 0x0112 no such object instance" in output, (code, output)
    number = str(int(number) + 1)
    words = "1 commitments verified and reported again\n"
    assert edge.command("tasks", "retry", number)[:2] == (0, words)
    assert modality.await_reports(2, 60)[1].committed == uids(references)
    wait_until(
        lambda: "reported" in edge.command("tasks", "show", number)[1].split()[-3:], 10, what="told"
    )
    code, output, _ = edge.command("tasks", "show", number)
    assert re.search(r"^1\.2\.4 +not committed +0x0112 no such object", output, re.MULTILINE), (
        output
    )
    edge.assert_balanced()


def test_statuses_of_what_cannot_be_asked(
    router: RouterFactory, storescp: StoreScpFactory, modalities: list[Modality]
) -> None:
    archive = storescp(ae_title="PACS")
    edge, modality = site(router, modalities, archive.port, commit="false")
    modality.up()
    references = sent(edge, list(series(1)))
    asked = request(references)
    assert modality.ask(asked, action=7) == 0x0123
    assert modality.ask(asked, instance="1.2.3") == 0x0112
    nothing = Dataset()
    nothing.TransactionUID = generate_uid()
    assert modality.ask(nothing) == 0x0115
    no_transaction = request(references)
    del no_transaction.TransactionUID
    assert modality.ask(no_transaction) == 0x0115
    too_many = request([(references[0][0], f"1.2.{number}") for number in range(20_001)])
    assert modality.ask(too_many) == 0x0213
    huge = request([(references[0][0], "1." + "2" * 62)] * 40_000)
    assert modality.ask(huge) == 0x0213
    assert Modality(edge.port, 0, "STRANGER").ask(asked) == 0x0124
    assert Modality(edge.port, 0, "MUTE").ask(asked) == 0x0124, "there is no port to report to"
    assert modality.tell(1, request(references)) == 0x0115, "nobody asked it"
    assert modality.reports == []
    # The same once more is the same transaction; another under its UID is refused.
    assert modality.ask(asked) == 0
    assert modality.await_reports(1)[0].committed == uids(references)
    assert modality.ask(asked) == 0
    assert modality.await_reports(2)[1].committed == uids(references)
    other = request([(references[0][0], "1.2.3")], str(asked.TransactionUID))
    assert modality.ask(other) == 0x0131


def test_ten_thousand_references_and_those_that_are_unknown_or_of_another_class(
    router: RouterFactory, storescp: StoreScpFactory, modalities: list[Modality]
) -> None:
    archive = storescp(ae_title="PACS")
    edge, modality = site(router, modalities, archive.port, commit="false")
    modality.up()
    (known, other) = list(series(2))
    references = sent(edge, [known, other])
    unknown = [(references[0][0], f"1.2.826.0.1.{number}") for number in range(10_000)]
    conflict = ("1.2.840.10008.5.1.4.1.1.4", other.sop_instance_uid)
    assert modality.ask(request([references[0], conflict, *unknown])) == 0
    (told,) = modality.await_reports(1, 60)
    assert told.event_type == 2
    assert told.committed == {known.sop_instance_uid}
    assert told.failed == {other.sop_instance_uid: 0x0119, **dict.fromkeys(uids(unknown), 0x0112)}


def test_orthanc_commits_and_asks(
    router: RouterFactory, orthanc: OrthancFactory, modalities: list[Modality]
) -> None:
    """Orthanc as the archive, which reports on an association of its own; and as the one who asks."""
    edge_port = free_port()
    archive = orthanc(settings={"DicomModalities": {"edge": ["EDGE_A", "127.0.0.1", edge_port]}})
    edge, modality = site(router, modalities, archive.dicom_port, title="ORTHANC", start=False)
    edge.port = edge_port
    edge.write(
        SITE, destination=archive.dicom_port, modality=modality.port, title="ORTHANC", commit="true"
    )
    edge.start()
    modality.router_port = edge_port
    modality.up()
    references = sent(edge, list(series(2)))
    assert modality.ask(request(references)) == 0
    (told,) = modality.await_reports(1, 40)
    assert told.committed == uids(references)
    assert edge.deliveries()["delivered"] == 2
    body = {
        "DicomInstances": [
            dict(zip(("SOPClassUID", "SOPInstanceUID"), one, strict=True))
            for one in [*references, (references[0][0], "1.2.3")]
        ]
    }
    begun = archive.rest("/modalities/edge/storage-commitment", method="POST", body=body)
    assert isinstance(begun, dict)

    def answer() -> dict[str, object]:
        found = archive.rest(f"/storage-commitment/{begun['ID']}")
        assert isinstance(found, dict)
        return found

    wait_until(lambda: answer()["Status"] != "Pending", 40, what="Orthanc has the report")
    found = answer()
    assert found["Status"] == "Failure"
    success, failures = found["Success"], found["Failures"]
    assert isinstance(success, list) and isinstance(failures, list)
    assert {one["SOPInstanceUID"] for one in success} == uids(references)
    (failure,) = failures
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == ("1.2.3", 0x0112)
