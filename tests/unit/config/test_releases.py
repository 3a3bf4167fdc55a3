"""Releases: the link decides whatever a crash leaves, and the way back stays right."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from router.config import releases
from router.config.releases import NotDeployed, Release, Releases, State

COMMITS = [f"{number:x}" * 40 for number in range(1, 15)]


def release(number: int, at: float = 0.0) -> Release:
    return Release(COMMITS[number], "site", at, "rita", "A Person", f"commit {number}")


def state(*numbers: int) -> State:
    """The latest first; the same commit put into use twice is two entries."""
    history = tuple(release(number, -place) for place, number in enumerate(reversed(numbers)))
    return State("/repository", "site", tuple(reversed(history)))


@pytest.fixture
def here(tmp_path: Path) -> Releases:
    made = Releases(tmp_path / "config")
    made.folder.mkdir()
    for commit in COMMITS:
        (made.folder / commit).mkdir()
    return made


class Crash(BaseException):
    """The machine ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    """End at the n-th step that changes something, before it happens."""
    left = [wanted]

    def ending(real):
        def step(*words, **named):
            left[0] -= 1
            if not left[0]:
                raise Crash
            return real(*words, **named)

        return step

    for name in ("replace", "fsync"):
        monkeypatch.setattr(os, name, ending(getattr(os, name)))
    for name in ("unlink", "symlink_to"):
        monkeypatch.setattr(Path, name, ending(getattr(Path, name)))


@pytest.mark.parametrize(
    ("before", "after"),
    [((), (0,)), ((1, 0), (2, 1, 0)), ((2, 1, 0), (1, 0)), ((1, 0, 1), (0, 1)), ((0,), ())],
    ids=["first", "forward", "back", "back between twins", "back to nothing"],
)
def test_f101_a_crash_at_any_step_leaves_the_state_before_or_after(
    here, monkeypatch, before, after
):
    expected = [state(*numbers).history for numbers in (before, after)]
    seen = set()
    for step in range(1, 30):
        here.write(state(*before))
        if before:
            here.flip(COMMITS[before[0]])
        else:
            here.unlink()
        with monkeypatch.context() as patched:
            crash_at(patched, step)
            try:
                here.advance(state(*before), state(*after))
                crashed = False
            except Crash:
                crashed = True
        found = Releases(here.link).state()
        assert found.history in expected, step
        assert here.current() == (found.history[0].commit if found.history else "")
        seen.add(found.history)
        if not crashed:
            break
    else:
        pytest.fail("it never came to its end")
    assert step > 3
    assert expected[1] in seen


def test_what_is_in_use_is_never_taken_away(here):
    numbers = tuple(range(13, 1, -1))
    (here.folder / ".new-half").mkdir()
    here.advance(State(), state(*numbers))
    here.flip(COMMITS[0])
    here.prune(state(*numbers))
    left = {one.name for one in here.folder.iterdir() if one.is_dir()}
    assert left == {COMMITS[number] for number in (*numbers[:10], 0)}


def test_an_export_that_fails_leaves_nothing(here, monkeypatch):
    def half(*_words):
        yield PurePosixPath("a/one.yaml"), b"rules: []\n"
        raise NotDeployed("an object is missing")

    monkeypatch.setattr(releases, "files_of", half)
    before = set(here.folder.iterdir())
    with pytest.raises(NotDeployed):
        here.export(Path("/repository"), "", "f" * 39 + "0")
    assert set(here.folder.iterdir()) == before


def test_the_state_of_before_is_read_and_one_that_cannot_be_read_says_what_to_do(here):
    here.advance(State(), state(1, 0))
    path = here.folder / "state.json"
    path.write_text(path.read_text().replace(',\n "signers": ""', ""))
    assert "signers" not in path.read_text()
    assert here.state() == state(1, 0)
    for text in ("", "{", "[]", '{"history": [{"commit": 5}]}'):
        path.write_text(text)
        with pytest.raises(NotDeployed, match="move it away"):
            here.state()
