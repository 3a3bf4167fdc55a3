"""Files a person wants sent: into the same journal and ledger, for one station, whole or not at all."""

from __future__ import annotations

import os

import pytest

from router.errors import BadDataset, StoreFull
from router.flow.hand_in import Errand, hand_in
from router.model.delivery import Priority
from router.model.recipe import NOTHING
from router.store.recovery import recover
from router.store.room import Room
from tests.support.inside import Edge, Neighbour
from tests.support.synthetic import NATIVE, RLE_LOSSLESS, instance, write_large

ERRAND = Errand("rita", "pacs", NOTHING, Priority.HIGH, "EDGE", "the plan")


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path)
    yield made
    made.close()


def hand(edge, path, errand=ERRAND):
    return hand_in(path, errand, edge.journal, edge.ledger, edge.clock)


def journal_bytes(edge):
    return sum(path.stat().st_size for path in edge.journal.folder.iterdir())


@pytest.mark.parametrize("uid", [*NATIVE, RLE_LOSSLESS])
def test_p4_a_file_arrives_as_it_lies_on_disk(edge, tmp_path, uid):
    image = instance(1, rows=8, columns=8, transfer_syntax_uid=uid)
    assert hand(edge, image.write(tmp_path)) == image.sop_instance_uid
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs):
        edge.wait_for(delivered=1)
    ((received),) = pacs.received
    assert received.data == image.data_set
    assert received.priority is Priority.HIGH


def test_the_task_says_who_asked_and_no_rule(edge, tmp_path):
    for image in (instance(seed, study=1, rows=2, columns=2) for seed in (1, 2)):
        hand(edge, image.write(tmp_path))
    (task,) = edge.ledger.tasks()
    assert (task.kind, task.requester, task.station) == ("send", "rita", "pacs")
    assert (task.objects, task.priority) == (2, "high")
    (stored,) = edge.ledger.find_instances(instance(1, study=1).sop_instance_uid)
    assert (stored.rules, stored.plan_digest) == ((), "the plan")
    assert stored.instance.source.listener == "send"


def test_a_large_file_is_not_read_into_memory(edge, tmp_path):
    facts = write_large(tmp_path / "large.dcm", 3, 8 << 20)
    assert hand(edge, tmp_path / "large.dcm") == facts.sop_instance_uid
    (leased,) = edge.lease()
    assert leased.data_set_length > 8 << 20
    record = edge.journal.open(leased.record)
    read = sum(len(chunk) for chunk in record.chunks())
    record.close()
    assert read == leased.data_set_length


def test_a_file_without_group_2_is_taken_as_it_is_guessed(edge, tmp_path):
    image = instance(4, rows=2, columns=2)
    path = tmp_path / "bare.dcm"
    path.write_bytes(image.data_set)
    assert hand(edge, path) == image.sop_instance_uid
    (leased,) = edge.lease()
    assert edge.store.read(leased.record) == image.data_set


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a DICOM file at all",
        os.urandom(4096),
        instance(5, rows=2, columns=2).part10()[:-200],
        instance(5, rows=2, columns=2).part10()[:400],
    ],
    ids=["empty", "text", "noise", "cut in the pixels", "cut in the header"],
)
def test_p3_what_is_no_whole_object_leaves_nothing(edge, tmp_path, content):
    path = tmp_path / "bad.dcm"
    path.write_bytes(content)
    with pytest.raises(BadDataset):
        hand(edge, path)
    assert edge.ledger.account().instances["received"] == 0
    assert journal_bytes(edge) == 0


def test_p3_a_large_file_that_is_cut_short_takes_no_space(edge, tmp_path):
    """Large records are written while they are read; this one is taken back."""
    path = tmp_path / "large.dcm"
    write_large(path, 9, 4 << 20)
    os.truncate(path, path.stat().st_size - 1000)
    with pytest.raises(BadDataset):
        hand(edge, path)
    assert journal_bytes(edge) == 0
    assert edge.journal._room.claimed_bytes == 0


def test_a_file_that_is_not_there_is_told_as_that(edge, tmp_path):
    with pytest.raises((FileNotFoundError, BadDataset)):
        hand(edge, tmp_path / "missing.dcm")
    assert journal_bytes(edge) == 0


def test_p10_a_full_disk_refuses_people_too(edge, tmp_path, monkeypatch):
    def full(*_):
        raise StoreFull("the free space of the data directory is at its watermark")

    path = instance(6, rows=2, columns=2).write(tmp_path)
    monkeypatch.setattr(Room, "claim", full)
    with pytest.raises(StoreFull):
        hand(edge, path)
    monkeypatch.undo()
    assert hand(edge, path)


def test_killed_between_record_and_index_it_is_booked_by_recovery(edge, tmp_path, monkeypatch):
    path = instance(7, rows=2, columns=2).write(tmp_path)

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(edge.ledger, "index", killed)
        with pytest.raises(KeyboardInterrupt):
            hand(edge, path)
    edge.journal.close()
    assert recover(edge.journal, edge.ledger).records == 1
    (task,) = edge.ledger.tasks()
    assert (task.kind, task.requester) == ("send", "rita")


def test_asking_twice_owes_it_once_until_it_is_sent(edge, tmp_path):
    """The same file again while the first still waits is a duplicate, and is not owed twice."""
    path = instance(8, rows=2, columns=2).write(tmp_path)
    hand(edge, path)
    hand(edge, path)
    assert edge.ledger.account().deliveries["created"] == 1
    assert edge.ledger.account().instances["duplicate"] == 1
