"""Everything Orthanc takes directly by STOW it also gets through the router, and the same bytes.

Orthanc judges twice: what it takes from this test's own request is what the router must deliver to
a second one. It keeps what it receives, so its files tell what was on the wire.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request

import pydicom
import pytest

from tests.conftest import OrthancFactory, RouterFactory
from tests.support.corpus import CorpusFile
from tests.support.ledger_view import wait_for
from tests.support.orthanc import Orthanc
from tests.support.scanner import contexts_for, from_file
from tests.support.sender import Sender
from tests.support.synthetic import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Synthetic,
)

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  cloud:
    type: dicomweb
    profile: orthanc
    url: "$cloud"
    allow_insecure_http: true
    send: true
rules:
  - {name: everything to the cloud, route: [cloud]}
"""
TRANSCODED = frozenset(
    {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}
)
BOUNDARY = "a-boundary-that-no-image-holds"


def test_f1_what_orthanc_takes_directly_it_gets_through_the_router(
    router: RouterFactory, orthanc: OrthancFactory, shared_corpus: tuple[CorpusFile, ...]
) -> None:
    direct, behind = orthanc(), orthanc()
    edge = router(SITE, cloud=behind.dicomweb_url)
    offered = _one_of_each(shared_corpus)
    taken = {
        uid: item for uid, item in offered.items() if uid in _stow(direct, item.path.read_bytes())
    }
    assert len(taken) > 200
    accepted = _send(edge.port, {uid: from_file(item.path) for uid, item in taken.items()})
    wait_for(edge.data_dir, 20, queued=0, sending=0, held=0)

    for uid, item in taken.items():
        if uid not in accepted:
            continue
        image = from_file(item.path)
        stored = behind.file(uid)
        if image.transfer_syntax_uid not in TRANSCODED:
            assert stored.endswith(image.data_set), item.name
        assert _differences(item, stored, image) == [], item.name
    refused = {taken[uid].name for uid in taken.keys() - accepted}
    assert not refused, refused
    wait_for(edge.data_dir, delivered=len(taken))
    assert behind.count() == len(taken)


def _one_of_each(files: tuple[CorpusFile, ...]) -> dict[str, CorpusFile]:
    """One file for each SOP Instance UID that a storage user can send as it is."""
    found: dict[str, CorpusFile] = {}
    for item in files:
        if not item.storable:
            continue
        image = from_file(item.path)
        held = pydicom.dcmread(item.path, specific_tags=["SOPInstanceUID", "SOPClassUID"])
        names = (held.get("SOPInstanceUID"), held.get("SOPClassUID"))
        # DIMSE names the object twice, and the two must agree.
        if names == (image.sop_instance_uid, image.sop_class_uid):
            found.setdefault(image.sop_instance_uid, item)
    return found


def _stow(server: Orthanc, content: bytes) -> set[str]:
    """Store one file by a request of our own; the SOP Instance UIDs of the receipt."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    request = urllib.request.Request(
        f"{server.dicomweb_url}/studies",
        data=head + content + f"\r\n--{BOUNDARY}--\r\n".encode(),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
            "Accept": "application/dicom+json",
        },
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            receipt = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        return set()
    items = receipt.get("00081199", {}).get("Value", [])
    return {item["00081155"]["Value"][0] for item in items}


def _send(port: int, images: dict[str, Synthetic]) -> set[str]:
    """Send them all; the UIDs of those the router acknowledged."""
    acknowledged: set[str] = set()
    with Sender(port, contexts_for(images.values())) as sender:
        for uid, image in images.items():
            if (image.sop_class_uid, image.transfer_syntax_uid) not in sender.accepted():
                continue
            status = sender.store(
                image.sop_class_uid, uid, image.transfer_syntax_uid, image.data_set
            )
            if status == 0:
                acknowledged.add(uid)
    return acknowledged


def _differences(item: CorpusFile, through: bytes, image: Synthetic) -> list[str]:
    """Where the two files differ, element by element, and what is wrong with the syntax."""
    left, right = pydicom.dcmread(item.path), pydicom.dcmread(io.BytesIO(through))
    wrong: list[str] = []
    wanted = image.transfer_syntax_uid
    if wanted in TRANSCODED:
        wanted = EXPLICIT_VR_LITTLE_ENDIAN
    if right.file_meta.TransferSyntaxUID != wanted:
        wrong.append(f"transfer syntax {right.file_meta.TransferSyntaxUID}")
    _compare(left, right, "", wrong)
    return wrong


def _compare(left: pydicom.Dataset, right: pydicom.Dataset, path: str, wrong: list[str]) -> None:
    for tag in sorted(left.keys() | right.keys()):
        where = f"{path}{tag}"
        if (tag in left) != (tag in right):
            # Group lengths may go when the lengths they tell have changed.
            if tag.element != 0:
                wrong.append(f"{where} is on one side only")
            continue
        if tag.element == 0:
            continue
        one, other = left[tag], right[tag]
        if one.VR == "SQ" and other.VR == "SQ":
            if len(one.value) != len(other.value):
                wrong.append(f"{where} has {len(other.value)} items")
            for number, (a, b) in enumerate(zip(one.value, other.value, strict=False)):
                _compare(a, b, f"{where}[{number}].", wrong)
        elif _little(one, left) != other.value:
            wrong.append(f"{where} {one.VR} {other.VR}")


def _little(element: pydicom.DataElement, data_set: pydicom.Dataset) -> object:
    """The value; pydicom leaves the bytes of OW in the order of the file (PS3.5 A.3)."""
    if element.VR != "OW" or data_set.original_encoding[1]:
        return element.value
    swapped = bytearray(element.value)
    swapped[0::2], swapped[1::2] = swapped[1::2], swapped[0::2]
    return bytes(swapped)
