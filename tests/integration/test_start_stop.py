"""Starting, refusing to start, stopping, and what a role or the supervisor leaves when it dies."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import pytest

from tests.conftest import RouterFactory
from tests.support.ledger_view import wait_for
from tests.support.load import Load
from tests.support.process import free_port, run, wait_until
from tests.support.roles import log_of, role_pids
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import series

BROKEN = """\
rules:
  - name: chest
    match: {StudyDescripton: chest}
    route: [pacs]
  - {name: nowhere, route: [pax]}
"""
OPEN = Script(max_pdu_bytes=0)


def test_a_broken_folder_is_refused_with_every_problem(router: RouterFactory) -> None:
    edge = router(start=False, destination=free_port())
    edge.write(BROKEN, "zz.yaml")
    code, output, errors = edge.command("run")
    assert code == 1
    assert "ready" not in output
    assert "zz.yaml:3:13: error DR210: 'StudyDescripton' is no DICOM keyword" in errors
    assert "did you mean 'StudyDescription'" in errors
    assert "zz.yaml:5:29: error" in errors
    assert "'pax'" in errors
    assert "2 problems" in errors
    assert not edge.data_dir.exists(), "nothing was made"


def test_p11_a_broken_folder_starts_the_last_plan_that_ran_and_says_so(
    router: RouterFactory,
) -> None:
    with ScriptedScp(OPEN) as pacs:
        edge = router(destination=pacs.port)
        assert edge.stop() == 0
        edge.write(BROKEN, "zz.yaml")

        code, output, errors = edge.command("run", "--strict")
        assert (code, "ready" in output) == (1, False)
        assert "StudyDescripton" in errors

        edge.start()
        assert edge.process is not None
        said = edge.process.errors.read_text()
        assert "DR210: 'StudyDescripton'" in said
        (line,) = [line for line in log_of(edge) if "last plan that ran" in str(line["event"])]
        assert (line["level"], line["errors"]) == ("error", 2)
        images = list(series(2, rows=8, columns=8))
        assert set(scan(edge.port, images).values()) == {0}
        wait_for(edge.data_dir, delivered=2)
        edge.stop()
        (edge.folder / "zz.yaml").unlink()


def test_f10_F31_a_second_router_on_the_same_data_is_refused_at_once(router: RouterFactory) -> None:
    with ScriptedScp(OPEN) as pacs:
        first = router(destination=pacs.port)
        assert first.process is not None
        second = router(start=False, data_dir=first.data_dir, destination=pacs.port)
        mark = first.data_dir / "run" / "mark"
        mark.touch()

        began = time.monotonic()
        words = [sys.executable, "-m", "router", "run", "--help"]
        assert run(words).returncode == 0
        reading_seconds = time.monotonic() - began
        began = time.monotonic()
        code, output, errors = second.command("run")
        assert time.monotonic() - began < 2 * reading_seconds + 1.0
        assert (code, "ready" in output) == (1, False)
        assert "another router runs on this data directory" in errors
        assert f"process {first.process.pid}" in errors

        # The first one noticed nothing: its files are there, it is ready, it takes and sends.
        assert mark.exists(), "the run folder of the first was swept"
        images = list(series(2, rows=8, columns=8))
        assert set(scan(first.port, images).values()) == {0}
        wait_for(first.data_dir, delivered=2)


def test_F31_who_was_refused_does_not_become_the_last_plan_that_ran(router: RouterFactory) -> None:
    with ScriptedScp(OPEN) as pacs:
        first = router(destination=pacs.port)
        kept = (first.data_dir / "last-good-configuration.json").read_bytes()
        second = router(start=False, data_dir=first.data_dir, destination=pacs.port)
        assert second.command("run")[0] == 1
        assert (first.data_dir / "last-good-configuration.json").read_bytes() == kept


def test_a_port_in_use_is_named_and_nothing_is_left_running(router: RouterFactory) -> None:
    edge = router(start=False, destination=free_port())
    with socket.create_server(("127.0.0.1", edge.port)):
        code, output, errors = edge.command("run")
    assert (code, "ready" in output) == (1, False)
    assert f"site.yaml:4: listener lan: cannot listen on 127.0.0.1:{edge.port}" in errors
    assert "in use" in errors
    assert edge.start() > 0, "the data directory is free again"
    assert edge.stop() == 0


def test_f2_sigterm_ends_with_0_when_nothing_waits_and_2_when_something_does(
    router: RouterFactory,
) -> None:
    port = free_port()
    edge = router(destination=port)
    images = list(series(3, rows=8, columns=8))
    assert set(scan(edge.port, images).values()) == {0}
    wait_for(edge.data_dir, held=3)
    assert edge.stop() == 2
    edge.start()
    with ScriptedScp(OPEN, port=port) as pacs:
        wait_for(edge.data_dir, delivered=3)
        assert {one.sop_instance_uid for one in pacs.stored} == {
            image.sop_instance_uid for image in images
        }
    assert edge.stop() == 0


@pytest.mark.parametrize("role", ["receive", "deliver"])
def test_p1_a_killed_role_comes_back_and_nothing_is_lost(router: RouterFactory, role: str) -> None:
    with ScriptedScp(OPEN) as pacs:
        edge = router(destination=pacs.port)
        other = {"receive": "deliver", "deliver": "receive"}[role]
        first = list(series(2, rows=8, columns=8))
        assert set(scan(edge.port, first).values()) == {0}
        wait_until(lambda: {role, other} <= role_pids(edge).keys(), what="both roles have spoken")
        pids = role_pids(edge)
        load = Load(edge.port, senders=2, tricklers=1, seed=5)
        load.start()
        wait_until(lambda: len(load.acknowledged) > 50, what="objects flow")
        os.kill(pids[role], signal.SIGKILL)
        wait_until(
            lambda: role_pids(edge).get(role, pids[role]) != pids[role], 10, what=f"a new {role}"
        )
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 50, what="objects flow again")
        load.stop()
        wait_for(edge.data_dir, queued=0, sending=0, held=0)
        wait_until(
            lambda: load.acknowledged.keys() <= {one.sop_instance_uid for one in pacs.stored},
            10,
            what="everything acknowledged is delivered",
        )
        arrived = {one.sop_instance_uid: one.sha256 for one in pacs.stored}
        assert {uid: arrived[uid] for uid in load.acknowledged} == load.acknowledged
        assert not load.refused
        assert role_pids(edge)[other] == pids[other], "the other role went on"
        (line,) = [line for line in log_of(edge) if line["event"] == "role ended"]
        assert (line["role"], line["status"]) == (role, "killed by signal 9")
        assert edge.stop() == 0


def test_sigkill_of_the_supervisor_ends_every_role_and_frees_the_data(
    router: RouterFactory,
) -> None:
    edge = router(destination=free_port())
    assert edge.process is not None
    process = edge.process
    assert len(process.group()) == 4
    process.signal(signal.SIGKILL)
    process.wait(5)
    wait_until(lambda: not process.group(), 1.0, what="every role has ended")
    edge.kill()
    edge.start()
    assert edge.stop() == 0
