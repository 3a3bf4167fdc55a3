"""Routes that wait for silence (`when: study`, `when: series`) on a running router."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.model.task import Task, TaskFilter
from tests.support.ledger_view import ledger_of, wait_for
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import Synthetic, series

IDLE = 2.0
SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  now: {ae_title: DEST, host: 127.0.0.1, port: $now, send: true}
  whole: {ae_title: DEST2, host: 127.0.0.1, port: $whole, send: true}
rules:
  - {name: all, route: [now, {to: whole, when: study, idle: 2s}]}
"""


class Site:
    def __init__(self, folder: Path) -> None:
        self.now, self.whole = (ScriptedScp(Script(max_pdu_bytes=0)) for _ in range(2))
        self.router = Router(folder, SITE, now=self.now.port, whole=self.whole.port)
        self.router.start()

    def tasks(self, study: str) -> tuple[Task, ...]:
        with ledger_of(self.router.data_dir) as ledger:
            return ledger.tasks(wanted=TaskFilter(station="whole", study_instance_uid=study))

    def close(self) -> None:
        self.router.assert_balanced()
        self.router.kill()
        self.now.close()
        self.whole.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def _study(count: int) -> list[Synthetic]:
    made = list(series(count, rows=8, columns=8))
    assert len({one.study_instance_uid for one in made}) == 1
    return made


def test_f98_a_study_leaves_when_it_is_silent_and_a_late_instance_as_an_addendum(
    site: Site,
) -> None:
    images = _study(6)
    study = images[0].study_instance_uid
    for image in images[:5]:
        sent_at = time.monotonic()
        assert set(scan(site.router.port, [image]).values()) == {0}
        time.sleep(0.2)
    wait_for(site.router.data_dir, station="now", delivered=5)
    assert not site.whole.stored
    (task,) = site.tasks(study)
    assert (task.status, task.objects) == ("On Hold", 5)
    assert task.status_reason == "sent when the study has been silent for 2 s"
    wait_for(site.router.data_dir, station="whole", delivered=5)
    assert time.monotonic() - sent_at > IDLE
    assert set(scan(site.router.port, [images[5]]).values()) == {0}
    wait_for(site.router.data_dir, station="whole", delivered=6)
    assert [one.objects for one in site.tasks(study)] == [1, 5]
    assert len(site.whole.stored) == 6, "nothing was sent twice"


def test_p1_a_study_that_waits_survives_a_kill_and_is_sent(site: Site) -> None:
    images = _study(3)
    assert set(scan(site.router.port, images).values()) == {0}
    site.router.kill()
    site.router.start()
    wait_for(site.router.data_dir, station="whole", delivered=3)
    assert len(site.whole.stored) == 3


def test_someone_who_resumes_a_waiting_study_sends_it_at_once(site: Site) -> None:
    site.router.write(SITE.replace("2s", "1h"), now=site.now.port, whole=site.whole.port)
    assert site.router.command("apply")[0] == 0
    images = _study(2)
    assert set(scan(site.router.port, images).values()) == {0}
    study = images[0].study_instance_uid
    wait_until(lambda: len(site.tasks(study)) == 1, what="its task is there")
    task = str(site.tasks(study)[0].task_id)
    assert site.router.command("tasks", "resume", task)[0] == 0
    wait_for(site.router.data_dir, station="whole", delivered=2)
