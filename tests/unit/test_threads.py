"""Threads with one stop signal; the clock they wait by; the files that come with the product."""

from __future__ import annotations

import threading
import time

from router.clock import Clock
from router.installed import MODELINE, example_files, folder
from router.threads import Threads, side_by_side


def made():
    crashes = []
    return Threads(lambda name, error: crashes.append((name, error))), crashes


def test_a_thread_that_crashes_is_told_and_stops_all():
    threads, crashes = made()
    threads.start("waits", lambda: threads.stop.wait(10))
    threads.start("fails", lambda: {}["missing"])
    assert threads.join(5)
    ((name, error),) = crashes
    assert (name, type(error)) == ("fails", KeyError)
    assert threads.stop.is_set()
    assert threads.crashed.is_set()
    assert threads.alive() == ()


def test_a_thread_that_ends_is_no_crash():
    threads, crashes = made()
    threads.start("ends", lambda: None)
    assert threads.join(5)
    assert crashes == []
    assert not threads.stop.is_set()


def test_threads_are_named_and_counted_while_they_run():
    threads, _ = made()
    running = threads.start("send-pacs", lambda: threads.stop.wait(10))
    assert running.name == "send-pacs"
    assert running.daemon, "a thread that hangs must not keep the process"
    assert threads.alive() == ("send-pacs",)
    threads.stop.set()
    assert threads.join(5)
    assert threads.alive() == ()


def test_threads_that_ended_are_forgotten():
    threads, _ = made()
    for _ in range(200):
        threads.start("brief", lambda: None).join(5)
    threads.start("last", lambda: None).join(5)
    assert len(threads._threads) == 1


def test_joining_has_one_deadline_for_all():
    threads, _ = made()
    never = threading.Event()
    for number in range(5):
        threads.start(f"hangs-{number}", lambda: never.wait(10))
    began = time.monotonic()
    assert threads.join(0.2) is False
    assert time.monotonic() - began < 5
    never.set()
    assert threads.join(5)


def test_the_clock_waits_for_an_event_or_the_time():
    clock, event = Clock(), threading.Event()
    began = clock.monotonic()
    assert clock.wait(event, 0.05) is False
    assert clock.monotonic() - began >= 0.05
    threading.Timer(0.05, event.set).start()
    assert clock.wait(event, 5.0) is True
    assert abs(clock.now() - time.time()) < 1.0


def test_jitter_spreads_between_its_bounds():
    drawn = [Clock().jitter(2.0, 3.0) for _ in range(200)]
    assert all(2.0 <= one <= 3.0 for one in drawn)
    assert max(drawn) - min(drawn) > 0.5


def test_what_init_writes_stands_by_itself():
    files = example_files()
    schemas = [name for name in files if name.endswith(".json")]
    assert sorted(schemas) == [".vscode/settings.json", "dicom-router.schema.json"]
    texts = {name: text for name, text in files.items() if name.endswith(".yaml")}
    assert texts
    for name, text in texts.items():
        assert "../" not in text, name
        if text.startswith(MODELINE):
            assert text.splitlines()[0] == f"{MODELINE}./dicom-router.schema.json", name
    shipped = {str(path.relative_to(folder("rules"))) for path in folder("rules").rglob("*.yaml")}
    assert set(texts) == shipped


def test_side_by_side_gives_what_ended_in_time_and_waits_for_nobody_else():
    gate, most, now = threading.Event(), [0], [0]
    lock = threading.Lock()

    def counted():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return "done"

    tasks = {f"t{number}": counted for number in range(12)}
    assert side_by_side(tasks, 3, 10.0) == dict.fromkeys(tasks, "done")
    assert most[0] <= 3
    began = time.monotonic()
    found = side_by_side({"hangs": lambda: gate.wait(20), "ends": lambda: True}, 2, 0.3)
    assert time.monotonic() - began < 5
    assert found == {"ends": True}
    gate.set()
    assert side_by_side({}, 3, 1.0) == {}
