"""F1, F5, F6: hurt at each system call of a run that takes, books, sends and settles objects.

Killed there, the next start finds everything that was answered 0x0000 and nothing by halves, and
recovers without help; failed there, the sender hears it, no sync is tried twice, and what was
answered is kept. Every call in the long form, a spread of them by default.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections import Counter

import pytest

from router.store.recovery import recover
from tests.support import intake_worker
from tests.support.inside import Edge
from tests.support.intake_worker import Run, Workers, image, send_what_is_due
from tests.support.process import wait_until
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import series

pytestmark = pytest.mark.skipif(not intake_worker.is_possible(), reason="LOUD: strace is missing")

OBJECTS = 10
WINDOW = 2
CALLS = "fsync,fdatasync,pwrite64,pwritev2,rename,ftruncate,unlink"
# Of each call by default: the first ones (making the store), then every n-th.
STEP = {"pwrite64": 73, "pwritev2": 5, "fdatasync": 6, "fsync": 5, "ftruncate": 2, "unlink": 3}


@pytest.fixture(scope="module")
def workers():
    made = Workers()
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(workers, tmp_path_factory):
    """A run that nothing happens to."""
    run = workers.run(tmp_path_factory.mktemp("calls") / "whole", OBJECTS, CALLS)
    assert run.code == 0
    assert [status for status, _ in run.answers.values()] == [0] * OBJECTS
    return run


def places(run: Run, *, every: bool):
    """(call, k) at which the run is hurt."""
    for name, number in run.counts.items():
        step = 1 if every else STEP.get(name, 1)
        yield from ((name, k) for k in range(1, number + 1, step))


def start_again(folder):
    """A router on what was left, recovered; and what it owes: SOP Instance UID → SHA-256."""
    edge = Edge(folder)
    recover(edge.journal, edge.ledger)
    edge.ledger.release_foreign_leases()
    owed = {}
    for instance_id, ref in edge.ledger.owed_records():
        uid = edge.ledger.instance(instance_id).instance.sop_instance_uid
        assert uid not in owed, "owed twice"
        owed[uid] = hashlib.sha256(edge.store.read(ref)).hexdigest()
    return edge, owed


def check_after(folder, run: Run, where: str) -> None:
    """P1, P2, P3, P6 and P12 after a run that was hurt."""
    edge, owed = start_again(folder)
    acknowledged = {
        image(number).sop_instance_uid: digest
        for number, (status, digest) in run.answers.items()
        if status == 0
    }
    refused = {image(number).sop_instance_uid for number in run.answers} - set(acknowledged)
    sent = Counter(uid for uid, _ in run.sent)
    for uid, digest in acknowledged.items():
        assert owed.get(uid, digest) == digest, where
        assert uid in owed or uid in sent, f"{where}: an acknowledged object is gone"
    assert not refused & set(owed), f"{where}: refused and owed"
    # One may be durable and cut off before its answer: whole then, and the sender sends it again.
    unheard = set(owed) - set(acknowledged)
    following = image(len(run.answers) + 1)
    assert unheard <= {following.sop_instance_uid}, where
    for uid in unheard:
        assert owed[uid] == hashlib.sha256(following.data_set).hexdigest(), where

    again = recover(edge.journal, edge.ledger)
    assert (again.records, again.torn_bytes, again.damaged) == (0, 0, 0), where
    assert edge.ledger.account().balanced, where
    told: list[str] = []
    while edge.ledger.waiting_stations():
        send_what_is_due(edge, told.append)
    sent.update(line.split()[1] for line in told if line.startswith("sent"))
    assert set(sent) >= set(acknowledged), where
    assert sent.total() - len(sent) <= WINDOW, f"{where}: {sent}"
    edge.close()


def kill_everywhere(workers, whole, folder, *, every: bool) -> None:
    for name, k in places(whole, every=every):
        where = f"killed at {name} {k}"
        run = workers.run(folder / f"{name}-{k}", OBJECTS, CALLS, f"{name}:signal=KILL:when={k}")
        assert run.code == -signal.SIGKILL, where
        check_after(folder / f"{name}-{k}", run, where)


def test_F1_p1_p2_p3_killed_at_system_calls_of_the_store(workers, whole, tmp_path):
    kill_everywhere(workers, whole, tmp_path, every=False)


@pytest.mark.long
def test_F1_p1_p2_p3_killed_at_every_system_call_of_the_store(workers, whole, tmp_path):
    kill_everywhere(workers, whole, tmp_path, every=True)


def test_F1_p3_what_is_killed_before_its_write_was_never_there(workers, whole, tmp_path):
    """Every object but the large one is a single write: before it there is nothing to recover."""
    assert whole.counts["pwritev2"] >= OBJECTS - 1
    run = workers.run(tmp_path / "first", OBJECTS, CALLS, "pwritev2:signal=KILL:when=1")
    assert run.answers == {}
    edge, owed = start_again(tmp_path / "first")
    assert owed == {}
    assert edge.ledger.account().instances["received"] == 0
    edge.close()


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT", "EROFS"])
def test_F5_F6_a_write_that_fails_is_heard_once_and_the_next_object_is_taken(
    workers, tmp_path, error
):
    run = workers.run(tmp_path / "hurt", OBJECTS, CALLS, f"pwritev2:error={error}:when=3")
    assert run.code == 0
    status = [status for status, _ in run.answers.values()]
    assert status == [0, 0, 0xA700, *[0] * (OBJECTS - 3)]
    check_after(tmp_path / "hurt", run, error)


def test_F5_a_sync_that_failed_is_not_tried_again(workers, whole, tmp_path):
    """The large object is the only one with a sync of its own: fail that one."""
    writes = [index for index, call in enumerate(whole.calls) if call == "pwritev2"]
    last_piece = writes[intake_worker.LARGE - 1 + 2]
    k = whole.calls[: whole.calls.index("fdatasync", last_piece) + 1].count("fdatasync")
    run = workers.run(tmp_path / "hurt", OBJECTS, CALLS, f"fdatasync:error=EIO:when={k}")
    assert run.code == 0
    assert run.answers[intake_worker.LARGE][0] == 0xA700
    assert {status for n, (status, _) in run.answers.items() if n != intake_worker.LARGE} == {0}
    check_after(tmp_path / "hurt", run, "a sync failed")


def test_F5_storage_that_fails_for_good_takes_nothing_more(workers, tmp_path):
    run = workers.run(tmp_path / "hurt", OBJECTS, CALLS, "pwritev2:error=EIO:when=3+")
    status = [status for status, _ in run.answers.values()]
    assert status[:2] == [0, 0]
    assert set(status[2:]) == {0xA700}
    # The third and the fourth tried to write; then nobody touched that disk for an object again.
    assert run.counts["pwritev2"] == 4
    check_after(tmp_path / "hurt", run, "every write fails")


def test_F5_a_ledger_that_cannot_be_written_loses_nothing(workers, whole, tmp_path):
    """All of the disk fails from the middle of the run on: the ledger is down, the journal knows."""
    k = whole.counts["pwrite64"] // 2
    run = workers.run(tmp_path / "hurt", OBJECTS, CALLS, f"pwrite64:error=EIO:when={k}+")
    assert run.lines[-2].startswith("down"), run.lines
    check_after(tmp_path / "hurt", run, "the ledger fails")


def test_F5_a_role_whose_storage_failed_twice_ends_and_its_successor_accepts(router, tmp_path):
    """Both failures are heard as 0xA700; the sockets stay, and so does what was accepted before."""
    with ScriptedScp(Script(max_pdu_bytes=0)) as pacs:
        edge = router(destination=pacs.port)
        images = list(series(5, rows=8, columns=8))
        assert list(scan(edge.port, images[:1]).values()) == [0]

        def role_lines(event):
            lines = map(json.loads, edge.process.errors.read_text().splitlines())
            return [line for line in lines if line.get("role") == "receive" and event(line)]

        pid = int(role_lines(lambda line: "pid" in line)[0]["pid"])
        said = tmp_path / "strace"
        inject = ["-e", "trace=pwritev2", "-e", "inject=pwritev2:error=EIO"]
        with open(said, "wb") as errors:
            tracer = subprocess.Popen(
                ["strace", "-f", "-o", os.devnull, "-p", str(pid), *inject], stderr=errors
            )
        wait_until(lambda: b"attached" in said.read_bytes(), 10, what="strace attaches")
        assert set(scan(edge.port, images[1:4]).values()) == {0xA700}
        wait_until(lambda: role_lines(lambda line: line["event"] == "role ended"), 5, what="an end")
        assert tracer.wait(10) is not None
        wait_until(lambda: scan_or_none(edge.port, images[4]) == 0, 20, what="a successor accepts")
        edge.wait_until_drained()
        stored = {one.sop_instance_uid for one in pacs.stored}
        assert stored == {images[0].sop_instance_uid, images[4].sop_instance_uid}


def scan_or_none(port, image):
    """The answer, or None while nobody speaks at the port."""
    try:
        return scan(port, [image])[image.sop_instance_uid]
    except (OSError, AssertionError):
        return None
