"""What passes is told to who listens, whole lines and in no time; nobody is waited for."""

from __future__ import annotations

import io
import os
import stat
import threading

import pytest

from router.telemetry.log import open_log
from router.telemetry.tap import Listener, Tap


def told(listener, timeout=2.0):
    return list(listener.told(timeout))


@pytest.fixture
def tap(tmp_path):
    return Tap(tmp_path)


def test_events_are_told_in_order_to_everyone_and_identifying_facts_to_who_asked(tap, tmp_path):
    assert not tap.is_heard
    tap.tell("instance", {"n": 0})
    with Listener(tmp_path) as plain:
        tap.look()
        assert tap.is_heard
        tap.tell("instance", {"n": 1}, {"patient_id": "P-1"})
        tap.tell("delivery", {"n": 2})
        assert told(plain) == [{"event": "instance", "n": 1}, {"event": "delivery", "n": 2}]
        (pipe,) = tmp_path.iterdir()
        assert stat.S_IMODE(pipe.stat().st_mode) == 0o600
    with Listener(tmp_path, identifying=True) as asking:
        tap.look()
        tap.tell("instance", {"n": 3}, {"patient_id": "P-1"})
        assert told(asking) == [{"event": "instance", "n": 3, "patient_id": "P-1"}]
    tap.look()
    assert not tap.is_heard
    assert list(tmp_path.iterdir()) == []


def test_who_reads_too_slowly_loses_events_and_hears_how_many(tap, tmp_path):
    with Listener(tmp_path) as slow:
        tap.look()
        sent = 8000
        for number in range(sent):
            tap.tell("instance", {"n": number, "filler": "x" * 900})
        found = told(slow)
        while more := told(slow, 0.0):
            found += more
        assert 100 < len(found) < sent
        assert [one["n"] for one in found] == list(range(len(found))), "whole and in order"
        tap.tell("instance", {"n": -1})
        assert told(slow) == [{"event": "instance", "n": -1, "missed": sent - len(found)}]


def killed(listener):
    """It ended without a word: its pipe is there, and nobody reads it."""
    listener.__enter__()
    return lambda: os.close(listener._descriptor)


def test_who_was_killed_is_forgotten_and_their_pipe_taken_away(tap, tmp_path):
    kill = killed(Listener(tmp_path))
    tap.look()
    kill()
    tap.tell("instance", {})
    tap.look()
    assert not tap.is_heard
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_was_left_before_we_came_is_taken_away(tap, tmp_path):
    killed(Listener(tmp_path))()
    assert len(list(tmp_path.iterdir())) == 1
    assert tap.look() == ()
    assert not tap.is_heard
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_pipe_is_never_written_to(tap, tmp_path):
    (tmp_path / "1.tap").write_text("mine")
    (tmp_path / "2.tap").symlink_to(tmp_path / "1.tap")
    tap.look()
    tap.tell("instance", {})
    assert not tap.is_heard
    assert (tmp_path / "1.tap").read_text() == "mine"


def test_lines_of_many_threads_do_not_mix_while_listeners_come_and_go(tap, tmp_path):
    def tell(number):
        for _ in range(200):
            tap.tell("instance", {"n": number, "filler": str(number) * 300})

    with Listener(tmp_path) as listener:
        tap.look()
        threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        found = []
        while any(thread.is_alive() for thread in threads):
            tap.look()
            found += told(listener, 0.01)
        for thread in threads:
            thread.join()
        while more := told(listener, 0.0):
            found += more
    assert len(found) == 800
    assert all(one["filler"] == str(one["n"]) * 300 for one in found)


def test_lines_of_the_log_are_told_without_patients_and_uids_only_to_who_asked(tap, tmp_path):
    log = open_log(io.StringIO(), "json", {}).tapped(tap).bind(role="receive")
    facts = {"station": "ct-1", "patient_id": "P-1", "sop_instance_uid": "1.2.3"}
    with Listener(tmp_path) as plain:
        tap.look()
        log.warning("data set refused", **facts)
        expected = {"event": "data set refused", "level": "warning", "station": "ct-1"}
        assert told(plain) == [expected]
    with Listener(tmp_path, identifying=True) as asking:
        tap.look()
        log.warning("data set refused", **facts)
        assert told(asking) == [{**expected, "sop_instance_uid": "1.2.3"}]
