"""The schema editors read and the loader are of one mind: a slip in a good file is seen by both.

The slips are made at random in the example of the design: a key spelt wrong, a value of another
type, something left out. Where the loader knows more than a schema can (names that refer to each
other, words of DICOM) it may say more; what the schema refuses, the loader refuses at that place.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from router.config.load import Loaded, load_texts
from router.config.nodes import plain
from router.config.report import Report
from router.config.schema import schema
from router.config.text import parse
from tests.support.configuration import all_plugs
from tests.unit.config.test_plan import EXAMPLE, with_files

Path_ = tuple[str | int, ...]
SHAPE = {"DR101", "DR102", "DR103", "DR104", "DR105", "DR106", "DR107"}


@cache
def example() -> Any:
    node = parse(EXAMPLE.read_text("utf-8"), "example.yaml", Report())
    assert node is not None
    return plain(node)


@cache
def validator() -> Draft7Validator:
    return Draft7Validator(schema(all_plugs()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_files(tmp_path_factory.mktemp("site"))


def loaded(document: Any, folder: Path) -> Loaded:
    text = json.dumps(document, ensure_ascii=False)
    return load_texts({"a.yaml": text}, folder, all_plugs(), environment={})


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def at(document: Any, path: Path_) -> Any:
    for part in path:
        document = document[part]
    return document


# What stands in `match` and `morph` has a language of its own, checked by the plugs.
def is_plain(path: Path_) -> bool:
    return not {"match", "morph"} & set(path)


MAPPINGS = [path for path in places(example()) if path and isinstance(at(example(), path), dict)]
LEAVES = [
    path
    for path in places(example())
    if path and is_plain(path) and not isinstance(at(example(), path), dict | list)
]
FIXED = [
    path
    for path in MAPPINGS
    if is_plain(path)
    and path not in [("stations",), ("listeners",), ("tls",), ("tables",), ("morphs",)]
]
OTHER_TYPES = st.sampled_from([None, True, 7, -1, 1.5, "", "x y", "\\", [], ["x"], {}, {"x": 1}])


def flagged(document: Any) -> set[Path_]:
    return {tuple(error.absolute_path) for error in validator().iter_errors(document)}


def shapes(result: Loaded) -> list[str]:
    return [problem.path for problem in result.errors if problem.code in SHAPE]


def test_both_take_the_example(folder: Path) -> None:
    assert flagged(example()) == set()
    assert loaded(example(), folder).errors == ()


@settings(max_examples=40, deadline=None)
@given(path=st.sampled_from(FIXED), key=st.from_regex(r"[a-z]{3,8}_x", fullmatch=True))
def test_an_unknown_key_is_seen_by_both(folder: Path, path: Path_, key: str) -> None:
    document = copy.deepcopy(example())
    at(document, path)[key] = 1
    assert flagged(document)
    (problem,) = [one for one in loaded(document, folder).errors if one.code == "DR101"]
    assert problem.path.endswith(key)


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(LEAVES), value=OTHER_TYPES)
def test_a_value_of_another_kind_is_seen_by_both_or_by_none(
    folder: Path, path: Path_, value: Any
) -> None:
    document = copy.deepcopy(example())
    at(document, path[:-1])[path[-1]] = value
    result = loaded(document, folder)
    result.render()
    if flagged(document):
        assert result.errors, f"the schema refuses {path} = {value!r}, the loader does not"
    else:
        # the loader may know more: a name that leads nowhere, a port that is needed
        codes = {problem.code for problem in result.errors} & {"DR102", "DR104", "DR106", "DR107"}
        assert not codes, f"the loader refuses {path} = {value!r}: {result.render()}"


# Keys of which one needs another, or one of two is needed: more than the schema says.
TOGETHER = (("tls",), ("stations", "cloud", "auth"), ("rules", 1, "route"))
LEFT_OUT = [path for path in places(example()) if len(path) > 1 and is_plain(path)]


@pytest.mark.parametrize("path", LEFT_OUT, ids=lambda path: ".".join(map(str, path)))
def test_what_is_left_out_is_missed_by_both_or_by_none(folder: Path, path: Path_) -> None:
    document = copy.deepcopy(example())
    del at(document, path[:-1])[path[-1]]
    required = any(error.validator == "required" for error in validator().iter_errors(document))
    missed = any(problem.code == "DR103" for problem in loaded(document, folder).errors)
    if any(path[: len(start)] == start for start in TOGETHER):
        assert missed or not required
    else:
        assert missed == required


@settings(max_examples=40, deadline=None)
@given(path=st.sampled_from(LEAVES), value=OTHER_TYPES)
def test_a_wrong_value_is_shown_where_it_stands(folder: Path, path: Path_, value: Any) -> None:
    document = copy.deepcopy(example())
    at(document, path[:-1])[path[-1]] = value
    seen = flagged(document)
    if path in seen and path[-1] != "type" and "type" not in path:
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
        assert any(
            found == shown or shown.startswith(found) for found in shapes(loaded(document, folder))
        )
