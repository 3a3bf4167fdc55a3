"""The first path: C-STORE in, rules, C-STORE, STOW and files out, judged by DCMTK and Orthanc."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from tests.conftest import OrthancFactory, RouterFactory, StoreScpFactory
from tests.support.data_set_bytes import data_set_bytes, meta_information
from tests.support.ledger_view import wait_for
from tests.support.process import free_port
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import CREATOR, EXPLICIT_VR_LITTLE_ENDIAN, Synthetic, instance, series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  cloud:
    type: dicomweb
    profile: orthanc
    url: "$cloud"
    allow_insecure_http: true
    send: true
  drop: {type: folder, path: "$drop", send: true}
rules:
"""
TO_ALL = (
    SITE + "  - {name: everything everywhere, match: {from: ct-1}, route: [pacs, cloud, drop]}\n"
)
MORPHED = (
    SITE
    + """\
  - name: as it is
    match: {from: ct-1}
    route: [cloud]
  - name: dressed for the archive
    match: {from: ct-1}
    morph:
      - set:
          InstitutionName: "{{ router.organization }}"
          StationName: "{{ source.name }}"
          "0009,[ACME IMAGING 1.1],01": unit 0
          "RequestAttributesSequence[0].ScheduledProcedureStepID": SPS-9
          "RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeMeaning": Thorax
      - prefix: {AccessionNumber: HSPA-}
      - replace: {tag: StudyDescription, pattern: "^RX ", with: "XR "}
      - blank: [PatientName, ReferringPhysicianName]
      - remove: [OperatorsName]
    route: [pacs]
"""
)


def read(data_set: bytes) -> Dataset:
    """The data set as pydicom reads it, every element decoded."""
    return pydicom.dcmread(
        io.BytesIO(bytes(128) + b"DICM" + _meta() + data_set), stop_before_pixels=False
    )


def _meta() -> bytes:
    uid = EXPLICIT_VR_LITTLE_ENDIAN.encode()
    uid += b"\0" * (len(uid) % 2)
    return b"\2\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid


def test_f1_f89_the_same_objects_arrive_at_an_archive_a_cloud_and_a_folder(
    router: RouterFactory, storescp: StoreScpFactory, orthanc: OrthancFactory, tmp_path: Path
) -> None:
    pacs, cloud, drop = storescp(), orthanc(), tmp_path / "drop"
    drop.mkdir()
    edge = router(TO_ALL, pacs=pacs.port, cloud=cloud.dicomweb_url, drop=drop)
    images = {image.sop_instance_uid: image for image in series(6, rows=32, columns=32)}
    assert scan(edge.port, images.values()) == dict.fromkeys(images, 0)
    wait_for(edge.data_dir, delivered=3 * len(images))

    at_pacs = {one.meta.sop_instance_uid: data_set_bytes(one.path) for one in pacs.received()}
    assert at_pacs == {uid: image.data_set for uid, image in images.items()}
    assert cloud.count() == len(images)
    for uid, image in images.items():
        stored = cloud.file(uid)
        assert stored.endswith(image.data_set)
        assert read(image.data_set).PixelData == pydicom.dcmread(io.BytesIO(stored)).PixelData
    files = {meta_information(path).sop_instance_uid: path for path in drop.rglob("*.dcm")}
    assert {uid: data_set_bytes(path) for uid, path in files.items()} == at_pacs
    assert all(pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in files.values())


def test_f1_a_morph_changes_what_it_says_for_one_destination_and_nothing_else(
    router: RouterFactory, storescp: StoreScpFactory, orthanc: OrthancFactory
) -> None:
    pacs, cloud = storescp(), orthanc()
    edge = router(MORPHED, pacs=pacs.port, cloud=cloud.dicomweb_url, drop="/nonexistent")
    image = instance(3, rows=32, columns=32, changes={0x00081030: ("LO", "RX CHEST PA")})
    assert scan(edge.port, [image]) == {image.sop_instance_uid: 0}
    wait_for(edge.data_dir, delivered=2)

    assert cloud.file(image.sop_instance_uid).endswith(image.data_set)
    (received,) = pacs.received()
    assert received.meta.sop_instance_uid == image.sop_instance_uid
    assert received.meta.transfer_syntax_uid == image.transfer_syntax_uid
    arrived = read(data_set_bytes(received.path))
    wanted = _dressed(image)
    assert [element.tag for element in arrived] == [element.tag for element in wanted]
    for element in wanted:
        assert arrived[element.tag] == element
    # Behind the last changed header element nothing is touched: the pixel element is the same.
    tail = len(image.data_set) - image.data_set.rindex(b"\xe0\x7f\x10\0OW")
    assert data_set_bytes(received.path)[-tail:] == image.data_set[-tail:]


def _dressed(image: Synthetic) -> Dataset:
    """What the rule asks for, done by pydicom."""
    wanted = read(image.data_set)
    wanted.InstitutionName = "Hospital A"
    wanted.StationName = "ct-1"
    wanted.private_block(0x0009, CREATOR)[0x01].value = "unit 0"
    step = wanted.RequestAttributesSequence[0]
    step.ScheduledProcedureStepID = "SPS-9"
    step.ScheduledProtocolCodeSequence[0].CodeMeaning = "Thorax"
    wanted.AccessionNumber = "HSPA-" + wanted.AccessionNumber
    wanted.StudyDescription = "XR CHEST PA"
    wanted.PatientName = wanted.ReferringPhysicianName = ""
    del wanted.OperatorsName
    return wanted


PRIORITIES = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs:
    ae_title: DEST
    host: 127.0.0.1
    port: $destination
    send: true
    limits: {associations: 1, batch: {instances: 1}}
rules:
  - {name: scheduled, match: {Modality: CT}, route: [{to: pacs, priority: low}]}
  - {name: ordinary, match: {Modality: MR}, route: [{to: pacs, priority: routine}]}
  - {name: urgent, match: {Modality: CR}, route: [{to: pacs, priority: stat}]}
"""


def test_f61_high_priority_passes_low_and_the_code_is_on_the_wire(router: RouterFactory) -> None:
    port = free_port()
    edge = router(PRIORITIES, destination=port)
    images: list[Synthetic] = []
    for modality, count in (("CT", 30), ("MR", 3), ("CR", 6)):
        images += [
            instance(
                100 * len(images) + n, modality=modality, rows=16, columns=16, study=len(images)
            )
            for n in range(count)
        ]
    assert set(scan(edge.port, images).values()) == {0}
    wait_for(edge.data_dir, created=len(images), sending=0, held=len(images))
    with ScriptedScp(Script(max_pdu_bytes=0), port=port) as pacs:
        wait_for(edge.data_dir, delivered=len(images))
        stored = list(pacs.stored)
    modality_of = {image.sop_instance_uid: image.sop_class_uid for image in images}
    codes = {(modality_of[one.sop_instance_uid], one.priority) for one in stored}
    ct, mr, cr = images[0], images[30], images[33]
    # PS3.7 E.1: 0 medium, 1 high, 2 low.
    assert codes == {(ct.sop_class_uid, 2), (mr.sop_class_uid, 0), (cr.sop_class_uid, 1)}
    order = [one.priority for one in stored]
    assert len(order) == len(images), "nothing was sent twice"
    # What was leased before the station went away may still be in front; one of lower priority
    # follows every ten of higher.
    assert max(index for index, code in enumerate(order) if code == 1) < 10, order
    assert max(index for index, code in enumerate(order) if code == 0) < 14, order
