"""Verified at the destination: what was sent is searched for there, and only then committed.

Judges are Orthanc (C-FIND and QIDO-RS) and pynetdicom (an archive that shows what a test lets it show).
"""

from __future__ import annotations

import pytest

from tests.conftest import OrthancFactory, RouterFactory
from tests.support.commitment import Archive, Modality, request, sent, uids
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
  retry: {first: $first, factor: 1, max: $first, give_up: 7d}
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1, port: $modality}
  pacs: $pacs
  second: $second
rules:
  - {name: everything to the archive, morph: $morph, route: $route}
"""
DICOM = "{ae_title: PACS, host: 127.0.0.1, port: %d, send: true, commit: %s}"


def site(
    router: RouterFactory,
    known: list[Modality],
    pacs: str,
    *,
    morph: str = "[]",
    first: str = "500ms",
    second: str = "{ae_title: SECOND}",
) -> tuple[Router, Modality]:
    port = free_port()
    route = "[pacs, second]" if "send" in second else "[pacs]"
    names = {"pacs": pacs, "second": second, "route": route, "morph": morph, "first": first}
    edge = router(SITE, modality=port, **names)
    modality = Modality(edge.port, port)
    modality.up()
    known.append(modality)
    return edge, modality


@pytest.mark.parametrize(
    ("way", "morph"),
    [
        ("find", "[]"),
        ("qido", "[remap_uids: true]"),
        pytest.param("find", "[remap_uids: true]", marks=pytest.mark.long),
        pytest.param("qido", "[]", marks=pytest.mark.long),
    ],
)
def test_f37_what_orthanc_shows_is_committed(
    router: RouterFactory,
    orthanc: OrthancFactory,
    modalities: list[Modality],
    way: str,
    morph: str,
) -> None:
    server = orthanc()
    pacs = DICOM % (server.dicom_port, "query")
    if way == "qido":
        pacs = (
            "{type: dicomweb, profile: orthanc, allow_insecure_http: true, send: true, "
            f"commit: true, url: '{server.dicomweb_url}'}}"
        )
    edge, modality = site(router, modalities, pacs, morph=morph)
    references = sent(edge, [*series(130, rows=2, columns=2), *series(2, seed=9)])
    assert modality.ask(request([*references, (references[0][0], "1.2.3")])) == 0
    (told,) = modality.await_reports(1, 60)
    assert told.committed == uids(references), "under the UIDs the modality knows"
    assert told.failed == {"1.2.3": 0x0112}
    assert server.count() == 132
    assert edge.deliveries()["delivered"] == 132
    assert "looked for what was sent" in edge.tail()


@pytest.mark.parametrize("way", ["true", "query"])
def test_the_modality_hears_its_own_uids_of_what_was_sent_under_others(
    router: RouterFactory,
    archives: list[Archive],
    modalities: list[Modality],
    way: str,
) -> None:
    destination = free_port()
    edge, modality = site(
        router, modalities, DICOM % (destination, way), morph="[remap_uids: true]"
    )
    archives.append(Archive(destination, edge.port))
    references = sent(edge, list(series(3)))
    assert modality.ask(request(references)) == 0
    (told,) = modality.await_reports(1)
    assert told.committed == uids(references) and not told.failed
    assert not set(archives[0].stored) & uids(references)
    asked = {
        str(item.ReferencedSOPInstanceUID)
        for one in archives[0].requests
        for item in one.ReferencedSOPSequence
    }
    assert asked == (set(archives[0].stored) if way == "true" else set())


def test_what_the_archive_shows_later_is_committed_later_and_sent_once(
    router: RouterFactory,
    archives: list[Archive],
    modalities: list[Modality],
) -> None:
    destination = free_port()
    edge, modality = site(router, modalities, DICOM % (destination, "query"), first="5s")
    archive = Archive(destination, edge.port)
    archives.append(archive)
    slow, quick = series(2)
    archive.hidden = {slow.sop_instance_uid}
    references = sent(edge, [slow, quick])
    assert modality.ask(request(references)) == 0
    wait_until(lambda: archive.finds >= 2, 20, what="it is looked for again")
    assert edge.deliveries()["delivered"] == 1
    code, output, _ = edge.command("tasks", "list")
    assert "not found there yet" in output, (code, output)
    assert modality.reports == []
    edge.kill()
    archive.hidden = set()
    edge.start()
    (told,) = modality.await_reports(1)
    assert told.committed == uids(references)
    assert len(archive.stored) == 2


@pytest.mark.long
def test_what_the_archive_never_shows_is_sent_again_and_then_a_no(
    router: RouterFactory,
    archives: list[Archive],
    modalities: list[Modality],
) -> None:
    destination = free_port()
    edge, modality = site(router, modalities, DICOM % (destination, "query"), first="50ms")
    archive = Archive(destination, edge.port)
    archives.append(archive)
    lost, kept = series(2)
    archive.hidden = {lost.sop_instance_uid}
    references = sent(edge, [lost, kept])
    assert modality.ask(request(references)) == 0
    (told,) = modality.await_reports(1, 90)
    assert told.event_type == 2
    assert told.committed == {kept.sop_instance_uid}
    assert told.failed == {lost.sop_instance_uid: 0x0112}, "the archive's own reason"
    assert archive.stored.count(lost.sop_instance_uid) == 3


def test_every_station_that_has_to_keep_it_is_heard_and_one_no_is_a_no(
    router: RouterFactory,
    archives: list[Archive],
    modalities: list[Modality],
) -> None:
    """The first is asked and commits to all, the second is searched and lacks one."""
    ports = free_port(), free_port()
    second = f"{{ae_title: SECOND, host: 127.0.0.1, port: {ports[1]}, send: true, commit: query}}"
    pacs = DICOM % (ports[0], "true")
    edge, modality = site(router, modalities, pacs, first="50ms", second=second)
    first, other = Archive(ports[0], edge.port), Archive(ports[1], edge.port, title="SECOND")
    archives += [first, other]
    lost, kept = series(2)
    other.hidden = {lost.sop_instance_uid}
    references = sent(edge, [lost, kept])
    assert modality.ask(request(references)) == 0
    wait_until(lambda: other.finds >= 2, 20, what="the second lacks one still")
    assert first.requests and modality.reports == [], "the first alone is not enough"
    (told,) = modality.await_reports(1, 90)
    assert told.committed == {kept.sop_instance_uid}
    assert told.failed == {lost.sop_instance_uid: 0x0112}
