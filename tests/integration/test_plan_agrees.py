"""What `plan` foretells is what happens: the corpus is received, foretold, applied, received again.

The objects are sent under one configuration; `plan` replays them through another one; that one is
applied, and the same objects come once more, with another last digit in their SOP Instance UID, so
that they are no duplicates. Destinations, outcomes, counts, bytes and changed values must agree.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
import pytest

from router.cli.plan import all_plugs, load_folder
from router.clock import Clock
from router.config.last_good import load_last_good
from router.errors import BadDataset
from router.flow.explain import Subject
from router.flow.forecast import received_since
from router.flow.replay import Compared, Replay
from router.model.plan import Plan
from router.morph.context import EXAMPLE_KEY
from router.plugs import morphs
from router.serve.places import Places
from router.serve.stores import open_journal
from router.store.envelope import decode
from router.store.ledger import Stored
from tests.conftest import RouterFactory, StoreScpFactory
from tests.support import corpus
from tests.support.ledger_view import ledger_of, wait_for
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scanner import contexts_for, from_file
from tests.support.sender import Sender
from tests.support.storescp import ReceivedFile
from tests.support.synthetic import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Synthetic

pytestmark = pytest.mark.peers

BASE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 1s, factor: 1, max: 1s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  plain: {ae_title: PLAIN, host: 127.0.0.1, port: $plain, send: true}
  dressed: {ae_title: DRESSED, host: 127.0.0.1, port: $dressed, send: true}
"""
BEFORE = (
    BASE
    + """\
rules:
  - {name: reports are dropped, match: {Modality: [SR, ECG]}, discard: true}
  - name: dressed
    match: {Modality: [CT, MR, CR, NM]}
    morph: [set: {InstitutionName: First, StationName: "{{ source.name }}"}, prefix: {AccessionNumber: A-}]
    route: [dressed]
  - {name: of the nineties, match: {StudyDate: {between: ["19900101", "19991231"]}}, route: [plain]}
  - {name: large, match: {Rows: {ge: 256}}, route: [plain]}
"""
)
AFTER = (
    BASE
    + """\
rules:
  - {name: no reports, match: {Modality: [SR, ECG]}, refuse: {status: 0x0124, comment: none}}
  - name: dressed
    match: {Modality: [CT, MR, US, NM]}
    morph: [set: {InstitutionName: Second, StationName: "{{ source.name }}"}, remove: AccessionNumber]
    route: [{to: dressed, priority: high}]
  - {name: by maker, match: {Manufacturer: {regex: "(?i)^(ge|philips)"}}, route: [plain]}
  - {name: large, match: {Rows: {ge: 512}}, route: [plain]}
"""
)


def test_what_plan_foretells_is_what_live_routing_then_does(
    router: RouterFactory, storescp: StoreScpFactory, tmp_path: Path
) -> None:
    plain, dressed = storescp(), storescp()
    ports = {"plain": plain.port, "dressed": dressed.port}
    edge = router(BEFORE, **ports)
    images = _images()
    kept = [one for one, status in _send(edge, images) if status == 0]
    assert len(kept) > (200 if corpus.is_present() else 20)
    _settled(edge, len(kept))

    code, output, errors = edge.command("plan", "--format", "json")
    assert (code, json.loads(output)["changes"]) == (0, []), errors
    text = edge.command("plan")
    assert text[0] == 0
    assert text[1].startswith("nothing changes")

    # A checkout beside the running folder, which names the same data directory or is told it.
    candidate = Router(tmp_path / "candidate", AFTER, data_dir=edge.data_dir, **ports)
    candidate.write(AFTER, port=edge.port, **ports)
    words = ["plan", "--config", str(candidate.folder), "--format", "json", "--limit", "10000"]
    words += ["--data-dir", str(edge.data_dir)]
    code, output, errors = edge.command(*words, timeout_seconds=300)
    assert code == 2, errors
    answer = json.loads(output)
    paths = {one["path"] for one in answer["changes"]}
    assert {"rules.no reports", "rules.of the nineties", "rules.large.match.Rows.ge"} <= paths
    assert not any(path.startswith(("stations", "listeners", "router")) for path in paths)
    told = answer["replay"]
    foretold = _foretold(edge, candidate)
    assert told["replayed"] == len(kept) == len(foretold)
    assert told["changed"] == sum(one.differs for one in foretold.values()) > 20

    code, output, _ = edge.command("plan", "--config", str(candidate.folder), timeout_seconds=300)
    assert code == 2
    assert f"replayed {len(kept)} instances" in output
    assert "First → Second" not in output, "what the table of PS3.15 names is masked"
    assert "F… (5 characters)" in output

    edge.write(AFTER, **ports)
    code, output, errors = edge.command("apply")
    assert code == 0, errors
    assert edge.command("plan", "--config", str(candidate.folder))[0] == 0, "it runs now"
    again = _send(edge, [_renamed(one) for one in kept])
    refused = [one for one, status in again if status]
    _settled(edge, len(kept) + len(again) - len(refused))
    _compare_decisions(edge, told, foretold, again)
    received = {item.meta.sop_instance_uid: item for item in dressed.received()}
    assert _compare_values(foretold, received) > 20


def _images() -> list[Synthetic]:
    paths = [one.path for one in corpus.files() if one.storable]
    if not paths:
        shipped = sorted(Path(str(pydicom.data.DATA_ROOT)).rglob("*"))
        paths = [path for path in shipped if path.is_file() and path.stat().st_size < 1 << 20]
    found: dict[str, Synthetic] = {}
    taken: set[str] = set()
    for path in paths:
        try:
            image = from_file(path)
        except (ValueError, BadDataset, KeyError, AttributeError, pydicom.errors.InvalidDicomError):
            continue
        uid = image.sop_instance_uid
        is_plain = image.transfer_syntax_uid != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
        # The other UID must be written over the one in the bytes, and neither be anybody else's.
        if (
            uid
            and is_plain
            and uid.encode() in image.data_set
            and taken.isdisjoint({uid, _other(uid)})
        ):
            taken |= {uid, _other(uid)}
            found[uid] = image
    return list(found.values())


def _other(uid: str) -> str:
    return uid[:-1] + str((int(uid[-1]) + 4) % 10 or 7)


def _renamed(image: Synthetic) -> Synthetic:
    other = _other(image.sop_instance_uid)
    data = image.data_set.replace(image.sop_instance_uid.encode(), other.encode())
    return Synthetic(
        data_set=data,
        transfer_syntax_uid=image.transfer_syntax_uid,
        sop_class_uid=image.sop_class_uid,
        sop_instance_uid=other,
        study_instance_uid="",
        series_instance_uid="",
    )


def _send(edge: Router, images: list[Synthetic]) -> list[tuple[Synthetic, int]]:
    answered: list[tuple[Synthetic, int]] = []
    with Sender(edge.port, contexts_for(images)) as sender:
        for image in images:
            if (image.sop_class_uid, image.transfer_syntax_uid) in sender.accepted():
                status = sender.store(
                    image.sop_class_uid,
                    image.sop_instance_uid,
                    image.transfer_syntax_uid,
                    image.data_set,
                )
                answered.append((image, status))
    return answered


def _settled(edge: Router, count: int) -> None:
    def indexed() -> bool:
        with ledger_of(edge.data_dir) as ledger:
            return ledger.account().instances["received"] == count

    wait_until(indexed, what=f"{count} objects are in the ledger")
    wait_for(edge.data_dir, 60, queued=0, sending=0, held=0)


def _foretold(edge: Router, candidate: Router) -> dict[str, Compared]:
    """Each instance by the engine behind `plan`, which adds up what this gives."""
    running = load_last_good(edge.data_dir, all_plugs())
    assert running is not None
    assert running.plan is not None
    new = load_folder(candidate.folder).plan
    assert new is not None
    known = {plug.name: plug for plug in morphs()}
    replay = Replay((running.plan, EXAMPLE_KEY), (new, EXAMPLE_KEY), known)
    with ledger_of(edge.data_dir) as ledger:
        found = list(received_since(ledger, 0.0))
    return {one.instance.sop_instance_uid: _one(replay, edge, new, one) for one in found}


def _one(replay: Replay, edge: Router, plan: Plan, stored: Stored) -> Compared:
    assert stored.record is not None
    journal = open_journal(Places(edge.data_dir), plan, Clock())
    record = journal.open(stored.record)
    facts = decode(record.envelope()).instance
    found = replay.compare(
        Subject(
            record.read,
            record.length,
            facts.transfer_syntax_uid,
            facts.sop_class_uid,
            facts.source,
            facts.received_at,
        )
    )
    record.close()
    journal.close()
    return found


def _compare_decisions(
    edge: Router,
    told: dict[str, Any],
    foretold: dict[str, Compared],
    again: list[tuple[Synthetic, int]],
) -> None:
    outcomes: Counter[str] = Counter()
    deliveries: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    first = {_other(uid): (uid, compared) for uid, compared in foretold.items()}
    studies = {one["study_instance_uid"]: one for one in told["studies"]}
    with ledger_of(edge.data_dir) as ledger:
        for image, status in again:
            uid, compared = first[image.sop_instance_uid]
            assert (status != 0) is (compared.after.outcome == "refused"), image.sop_instance_uid
            if status:
                outcomes["refused"] += 1
                continue
            (stored,) = ledger.find_instances(image.sop_instance_uid)
            outcomes[stored.disposition.value] += 1
            owed = ledger.deliveries_of_instance(stored.instance_id)
            assert stored.disposition.value == compared.after.outcome
            assert {(one.station, one.recipe_digest, one.priority) for one in owed} == {
                (one.station, one.recipe.digest, one.priority) for one in compared.after.owed
            }
            for one in owed:
                deliveries[one.station] += 1
                octets[one.station] += len(image.data_set)
            if compared.before.stations != compared.after.stations:
                (replayed,) = ledger.find_instances(uid)
                assert studies[replayed.instance.study_instance_uid]["routes"]
    assert outcomes == told["outcomes"]["after"]
    after = told["stations"]
    assert deliveries == {name: one["deliveries_after"] for name, one in after.items()}
    assert octets == {name: one["bytes_after"] for name, one in after.items()}


def _compare_values(foretold: dict[str, Compared], received: dict[str, ReceivedFile]) -> int:
    """Each value that was foretold to change, in the objects before and after; how many objects."""
    number = 0
    for uid, compared in foretold.items():
        if not compared.values or uid not in received or _other(uid) not in received:
            continue
        before = pydicom.dcmread(received[uid].path, stop_before_pixels=True)
        after = pydicom.dcmread(received[_other(uid)].path, stop_before_pixels=True)
        told = {one.keyword: (one.before, one.after) for one in compared.values}
        assert told["InstitutionName"] == ("First", "Second")
        assert after.InstitutionName == "Second"
        for keyword, (old, new) in told.items():
            assert (_text(before, keyword), _text(after, keyword)) == (old, new), uid
        for element in before:
            if element.keyword not in told and element.keyword not in _NAMED_ANEW:
                same = element.tag in after and after[element.tag].value == element.value
                assert same or _holds(element, uid), f"{uid} {element.tag}"
        number += 1
    return number


_NAMED_ANEW = {"SOPInstanceUID"}


def _holds(element: pydicom.DataElement, uid: str) -> bool:
    """Whether the element names the instance, whose UID is another one the second time."""
    return uid in str(element.value) or uid.encode() in bytes(str(element.value), "utf-8")


def _text(data_set: pydicom.Dataset, keyword: str) -> str:
    if keyword not in data_set:
        return "absent"
    return str(data_set.get(keyword)) or "empty"
