"""What is known of a branch outlives processes; work without end, and requests, are bounded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from router.config.releases import Releases
from router.model.deployment import DeploySettings
from router.serve.bounded import Bounded, Bounds
from router.serve.following import Following, FollowingBook, pause_seconds
from router.serve.mailbox import Mailbox
from router.serve.places import Places


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path / "config")
    made.folder.mkdir()
    return made


def test_what_is_known_is_of_one_branch_and_a_torn_file_says_nothing(releases: Releases) -> None:
    book = FollowingBook(releases, "a main ")
    assert book.read() == Following("a main ")
    book.update(tip="1" * 40, failures=2)
    assert book.update(error="away") == book.read() == Following(
        "a main ", tip="1" * 40, failures=2, error="away"
    )  # fmt: skip
    assert FollowingBook(releases, "a other ").read() == Following("a other ")
    for text in ("", "[]", '{"tip"', '{"source": "a main ", "unheard": 1}'):
        (releases.folder / "following.json").write_text(text)
        assert book.read() == Following("a main ")


def test_pauses_double_and_end_at_an_hour_or_at_what_was_asked_for() -> None:
    often, seldom = (DeploySettings("/x", "main", every_seconds=s) for s in (60.0, 7200.0))
    assert [pause_seconds(often, n) for n in (0, 1, 2, 5, 6, 10_000)] == [
        60, 120, 240, 1920, 3600, 3600,
    ]  # fmt: skip
    assert pause_seconds(seldom, 9) == 7200


def test_work_comes_back_and_what_has_no_end_is_ended_with_all_it_started() -> None:
    bounds = Bounds(seconds=20, processor_seconds=5)
    assert Bounded(lambda: {"a": 1}, bounds).wait() == {"a": 1}

    def fills() -> str:
        return "x" * (2 * 1024**3)

    assert Bounded(fills, bounds).wait() is None
    read, write = os.pipe()

    def hangs() -> None:
        os.set_inheritable(write, True)  # noqa: FBT003 - the argument's own name
        os.system("sleep 60")  # noqa: S605, S607 - a process of its own is the point

    work = Bounded(hangs, Bounds(seconds=0.3, processor_seconds=5))
    began = time.monotonic()
    assert work.wait() is None
    os.close(write)
    assert os.read(read, 1) == b"", "whoever held the other end is gone"
    assert time.monotonic() - began < 10
    os.close(read)


def test_a_request_is_taken_once_and_its_answer_is_nobody_elses(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.run.mkdir()
    mail = Mailbox(places, "deploy")
    assert mail.take() is None
    name = mail.ask({"what": "fetch"})
    taken = mail.take()
    assert taken is not None and taken[0] == name and taken[1]["what"] == "fetch"
    assert mail.take() is None
    mail.answer(name, {"state": "applied"})
    assert mail.answer_to(name, 5.0) == {"state": "applied"}
    assert mail.answer_to("another", 0.2) is None
