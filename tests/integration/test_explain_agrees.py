"""What `explain` says is what happens: every storable file of the corpus, told and then sent.

The engine is asked in this process; the router runs in its own. Rules matched, deliveries owed and
recipes are compared with the ledger; the changes it told with what a storescp received, and every
element it did not name with the bytes that were sent.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from blake3 import blake3
from pydicom.dataelem import RawDataElement

from router.cli.plan import load_folder
from router.errors import BadDataset
from router.flow.explain import Explanation, Subject, explain
from router.model.instance import Source
from router.model.plan import Plan
from router.plugs import morphs
from tests.conftest import RouterFactory, StoreScpFactory
from tests.support.corpus import CorpusFile
from tests.support.ledger_view import ledger_of, wait_for
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scanner import contexts_for, from_file
from tests.support.sender import Sender
from tests.support.storescp import ReceivedFile
from tests.support.synthetic import Synthetic

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
stations:
  ct-1:
    ae_title: CT1
    host: 127.0.0.1
    issuer_of_patient_id: HOSPA
    morph: {receive: [{default: {Manufacturer: Siemens of old}}]}
  plain: {ae_title: PLAIN, host: 127.0.0.1, port: $plain, send: true}
  dressed:
    ae_title: DRESSED
    host: 127.0.0.1
    port: $dressed
    send: true
    original_patient_id: true
    morph: {send: [{suffix: {AccessionNumber: -D}}]}
  large: {ae_title: LARGE, host: 127.0.0.1, port: $plain, send: true}
rules:
  - name: no reports
    match: {Modality: [SR, ECG]}
    refuse: {status: 0x0124, comment: no reports here}
  - name: not from these
    match: {Modality: [XC, SEG], not: {transfer_syntax: 1.2.840.10008.1.2.4.50}}
    discard: true
    final: true
  - name: dressed
    match:
      Modality: [CT, MR, NM, OT, CR]
      not: {PatientID: {glob: "FUZZ*"}}
    morph:
      - set:
          InstitutionName: "{{ router.organization }}"
          StationName: "{{ source.name }}-{{ Modality }}"
          "0009,[EDGE MARKS],01": seen
      - prefix: {AccessionNumber: H-, PatientID: H-}
      - replace: {tag: Manufacturer, pattern: "(?i)g[.]?e[.]? medical", with: GEMS}
      - blank: [PatientName, ReferringPhysicianName]
      - remove: [PatientBirthDate, "0029,xxxx"]
      - set: {"ReferencedStudySequence[*].ReferencedSOPInstanceUID": 1.2.3.4}
    route: [{to: dressed, priority: low}]
  - name: compressed, as it is
    match: {transfer_syntax: [1.2.840.10008.1.2.4.90, 1.2.840.10008.1.2.4.91, 1.2.840.10008.1.2.5]}
    route: [plain]
    final: true
  - name: by maker
    match: {Manufacturer: {regex: "(?i)^(ge|philips|siemens)"}}
    route: [plain]
  - name: large ones
    match: {all: [{Rows: {ge: 256}}, {Columns: {gt: 200}}]}
    route: [{to: large, priority: high}]
  - name: of the nineties, twice the same
    match: {any: [{StudyDate: {between: ["19900101", "19991231"]}}, {PatientAge: {gt: 060Y}}]}
    route: [plain, {to: large, priority: low}]
  - name: of GE, by their own mark
    match: {any: [{"0009,[GEMS_IDEN_01],01": {exists: true}}, {"0019,[GEMS_ACQU_01],02": {ge: 1}}]}
    route: [large]
  - name: that refer
    match: {"ReferencedImageSequence[*].ReferencedSOPClassUID": 1.2.840.10008.5.1.4.1.1.4}
    route: [plain]
"""
REFUSED = 0x0124


@dataclass(frozen=True, slots=True)
class Told:
    """One object, what explain told of it, and what the router answered when it came."""

    path: Path
    image: Synthetic
    told: Explanation | None
    status: int


def test_explain_and_the_router_agree_on_the_whole_corpus(
    router: RouterFactory, storescp: StoreScpFactory, shared_corpus: tuple[CorpusFile, ...]
) -> None:
    plain, dressed = storescp(), storescp()
    edge = router(SITE, plain=plain.port, dressed=dressed.port)
    sent = _tell_and_send(edge, shared_corpus)
    assert len(sent) > 250

    kept = [one for one in sent if one.status == 0]
    _wait_until_settled(edge, len(kept))
    matched: Counter[str] = Counter()
    with ledger_of(edge.data_dir) as ledger:
        owed: dict[int, set[tuple[str, str]]] = {}
        for task in ledger.tasks(limit=10_000):
            for delivery in ledger.deliveries_of(task.task_id):
                key = (delivery.station, delivery.recipe_digest)
                owed.setdefault(delivery.instance_id, set()).add(key)
        for one in kept:
            assert one.told is not None, one.path
            digest = blake3(one.image.data_set).digest()
            (stored,) = [
                found
                for found in ledger.find_instances(one.image.sop_instance_uid)
                if found.instance.content_digest == digest
            ]
            decision = one.told.decision
            assert stored.rules == decision.rules, one.path
            assert stored.disposition is decision.disposition, one.path
            assert owed.get(stored.instance_id, set()) == {
                (item.station, item.recipe.digest) for item in decision.owed
            }, one.path
            matched.update(decision.rules or ["nothing"])
    for one in sent:
        _check_refusal(one)
    rules = {"no reports"} | {rule for rule, count in matched.items() if count >= 3}
    assert rules >= {rule.name for rule in _plan(edge).rules} | {"nothing"}, matched

    received = {item.meta.sop_instance_uid: item for item in dressed.received()}
    versions = Counter(one.image.sop_instance_uid for one in kept)
    single = [one for one in kept if versions[one.image.sop_instance_uid] == 1]
    compared = sum(_compare(one, received) for one in single)
    assert compared > 60


def _plan(edge: Router) -> Plan:
    plan = load_folder(edge.folder).plan
    assert plan is not None
    return plan


def _tell_and_send(edge: Router, files: tuple[CorpusFile, ...]) -> list[Told]:
    plan = _plan(edge)
    images: dict[tuple[str, bytes], tuple[Path, Synthetic]] = {}
    for item in files:
        if item.storable:
            image = from_file(item.path)
            # The same object twice is a duplicate, and owes nothing the second time.
            images.setdefault((image.sop_instance_uid, image.data_set), (item.path, image))
    sent: list[Told] = []
    with Sender(edge.port, contexts_for(image for _, image in images.values())) as sender:
        for path, image in images.values():
            if (image.sop_class_uid, image.transfer_syntax_uid) in sender.accepted():
                told = _explain(plan, image)
                status = sender.store(
                    image.sop_class_uid,
                    image.sop_instance_uid,
                    image.transfer_syntax_uid,
                    image.data_set,
                )
                sent.append(Told(path, image, told, status))
    return sent


def _explain(plan: Plan, image: Synthetic) -> Explanation | None:
    """What is told; None when it would be refused for its bytes."""
    subject = Subject(
        read=lambda offset, length: image.data_set[offset : offset + length],
        length=len(image.data_set),
        transfer_syntax_uid=image.transfer_syntax_uid,
        sop_class_uid=image.sop_class_uid,
        source=Source("lan", "CT1", "EDGE_A", "127.0.0.1", "ct-1"),
        received_at=time.time(),
    )
    try:
        return explain(plan, subject, {plug.name: plug for plug in morphs()})
    except BadDataset:
        return None


def _wait_until_settled(edge: Router, count: int) -> None:
    def indexed() -> bool:
        with ledger_of(edge.data_dir) as ledger:
            return ledger.account().instances["received"] == count

    wait_until(indexed, what=f"{count} objects are in the ledger")
    wait_for(edge.data_dir, queued=0, sending=0, held=0)


def _check_refusal(one: Told) -> None:
    """A rule's refusal is told, and so is one for the bytes; the rest contradicts its request."""
    refusal = one.told.decision.refusal if one.told is not None else None
    if _names_another(one):
        # Only DIMSE says the UIDs twice, and a request that names another object is refused first.
        assert one.status == 0xA900, one.path
    elif refusal is not None:
        assert one.status == refusal.status == REFUSED, one.path
    else:
        assert (one.status == 0) is (one.told is not None), one.path


def _names_another(one: Told) -> bool:
    held = pydicom.dcmread(one.path, specific_tags=["SOPInstanceUID", "SOPClassUID"])
    said = (one.image.sop_instance_uid, one.image.sop_class_uid)
    return (held.get("SOPInstanceUID"), held.get("SOPClassUID")) != said


def _compare(one: Told, received: dict[str, ReceivedFile]) -> bool:
    """The dressed object: changed as told, otherwise untouched; false when it was not dressed."""
    assert one.told is not None
    changed = [item for item in one.told.owed if item.owed.station == "dressed"]
    if not changed:
        return False
    (item,) = changed
    key = one.image.sop_instance_uid
    if item.failure:
        assert key not in received, one.path
        return False
    before = pydicom.dcmread(one.path)
    after = pydicom.dcmread(received[key].path)
    told = {change.tag: change.after for change in item.changes}
    inner = {path.partition("[")[0] for path in told if not path.startswith("(")}
    for tag in before.keys() | after.keys():
        name = f"({tag.group:04X},{tag.element:04X})"
        if name in told:
            found = "absent" if tag not in after else _text(after[tag].value)
            assert found == told[name], f"{one.path} {name}"
        elif pydicom.datadict.keyword_for_tag(tag) in inner:
            values = [step.ReferencedSOPInstanceUID for step in after[tag].value]
            assert set(values) == {"1.2.3.4"}, one.path
        else:
            same = _raw(before, tag) == _raw(after, tag) or before[tag] == after[tag]
            assert same, f"{one.path} {name}"
    return True


def _text(value: object) -> str:
    if isinstance(value, bytes):  # a private element without a VR of its own
        return value.decode("ascii").rstrip()
    if isinstance(value, pydicom.multival.MultiValue):
        return "\\".join(str(one) for one in value)
    return str(value) or "empty"


def _raw(data_set: pydicom.Dataset, tag: pydicom.tag.BaseTag) -> object:
    element = data_set.get_item(tag)
    return element.value if isinstance(element, RawDataElement) else element
