"""What README.md tells people to type exists."""

from __future__ import annotations

import re
import sys

import pytest

from tests.support.process import PROJECT, run

README = PROJECT / "README.md"


def commands(pattern: str) -> list[str]:
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    return sorted(set(re.findall(pattern, text)))


def test_there_is_a_readme_with_the_two_commands() -> None:
    assert README.exists(), "README.md is the front door (and pyproject.toml names it)"
    assert {"demo", "test"} <= set(commands(r"\bmake ([a-z][a-z-]*)"))


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    unknown = [name for name in commands(r"(?:^|`|\$ )make ([a-z][a-z-]*)") if name not in targets]
    assert not unknown, f"README.md names make targets that do not exist: {unknown}"


@pytest.mark.parametrize("verb", commands(r"(?m)(?:^|`|\$ )dicom-router ([a-z][a-z-]*)"))
def test_verbs_of_the_readme_exist(verb: str) -> None:
    done = run([sys.executable, "-m", "router", verb, "--help"])
    assert done.returncode == 0, f"`dicom-router {verb}` of README.md: {done.stderr}"
