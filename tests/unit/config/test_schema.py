"""The schema that editors read: valid draft-07, fresh, and of one mind with the loader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from router.config.schema import schema, schema_text
from tests.support.configuration import all_plugs, loaded, write
from tests.unit.config.test_mistakes import PAIRS

PROJECT = Path(__file__).parents[3]
WRITTEN = PROJECT / "schemas" / "dicom-router.schema.json"


@pytest.fixture(scope="module")
def validator():
    return Draft7Validator(schema(all_plugs()))


def core(text: str):
    """As an editor reads it: YAML 1.2 numbers and truth values."""

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            sign: [
                (tag, pattern)
                for tag, pattern in found
                if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:null")
                or (tag == "tag:yaml.org,2002:bool" and sign in "tTfF")
            ]
            for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return yaml.load(text, Loader=Loader)


def test_it_is_valid_draft_7():
    Draft7Validator.check_schema(schema(all_plugs()))


def test_the_file_is_fresh():
    assert WRITTEN.read_text("utf-8") == schema_text(all_plugs()), (
        "run: python -m router schema > schemas/dicom-router.schema.json"
    )


def test_every_key_has_hover_text():
    bare = []

    def walk(fragment, path):
        for key, value in fragment.get("properties", {}).items():
            if "$ref" not in value and not value.get("description"):
                bare.append(f"{path}.{key}")
            walk(value, f"{path}.{key}")
        for word in ("items", "additionalProperties", "then", "else"):
            if isinstance(fragment.get(word), dict):
                walk(fragment[word], path)
        for branch in fragment.get("allOf", []):
            walk(branch, path)

    whole = schema(all_plugs())
    for name, fragment in {**whole["definitions"], **whole["properties"]}.items():
        if name not in ("condition", "steps"):
            walk(fragment, name)
    assert bare == []


# Names, and the number behind the colon, are checked by meaning.
BEYOND_THE_SCHEMA = ("shape: a name that is none", "shape: a port that is none")
SHAPES = [
    pair for pair in PAIRS if pair[0].startswith("shape: ") and pair[0] not in BEYOND_THE_SCHEMA
]


@pytest.mark.parametrize(("title", "written", "expected"), SHAPES, ids=[pair[0] for pair in SHAPES])
def test_editors_flag_the_same_shapes(title, written, expected, validator):
    errors = list(validator.iter_errors(core(written)))
    assert errors, f"{title}: the loader finds it, the schema does not"


@pytest.mark.parametrize(
    "folder",
    [
        "rules",
        *(f"samples/{path.parent.name}" for path in (PROJECT / "samples").glob("*/README.md")),
    ],
)
def test_what_we_ship_passes(folder, validator):
    for file in (PROJECT / folder).rglob("*.yaml"):
        if file.name.endswith(".test.yaml"):
            continue
        text = file.read_text("utf-8")
        assert [error.message for error in validator.iter_errors(core(text))] == []
        modeline = text.splitlines()[0]
        target = modeline.split("$schema=")[1]
        assert (file.parent / target).resolve() == WRITTEN


def test_every_example_of_a_plug_passes(validator):
    for index, operator in enumerate(all_plugs().operators):
        key = "ImageType" if operator.name == "all" else "StudyDate"
        key = {"glob": "StudyDescription", "regex": "StudyDescription"}.get(operator.name, key)
        rule = {"name": "a", "match": {key: core(operator.example)}, "discard": True}
        assert [error.message for error in validator.iter_errors({"rules": [rule]})] == [], index
    for morph in all_plugs().steps:
        document = {"morphs": {"a": [core(morph.example)]}}
        assert [error.message for error in validator.iter_errors(document)] == []
    for kind in all_plugs().station_kinds:
        document = {"stations": {"a": core(kind.example)}}
        assert [error.message for error in validator.iter_errors(document)] == []


def test_patterns_are_those_of_ecma():
    for pattern in _patterns(schema(all_plugs())):
        assert not re.search(r"\(\?(?![:=!])", pattern), pattern
        assert "\\Z" not in pattern
        assert "\\A" not in pattern


def _patterns(fragment):
    if isinstance(fragment, dict):
        for key, value in fragment.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            yield from _patterns(value)
    elif isinstance(fragment, list):
        for value in fragment:
            yield from _patterns(value)


def test_a_kind_of_station_from_elsewhere_is_part_of_the_language(tmp_path):
    from dataclasses import replace

    from router.config.load import load
    from router.model.plug import StationKind

    fax = StationKind("fax", "A fax.", {"properties": {"number": {"type": "string"}}}, "", print)
    plugs = replace(all_plugs(), station_kinds=(*all_plugs().station_kinds, fax))
    write(tmp_path, base="version: 1\nrouter: {name: a, ae_title: A, data_dir: d}\n")
    write(tmp_path, site="stations: {f: {type: fax, number: 5}}\n")
    (problem,) = [p for p in load(tmp_path, plugs).problems if p.severity == "error"]
    assert (problem.code, problem.path) == ("DR102", "stations.f.number")
    assert "fax" in schema(plugs)["definitions"]["station"]["properties"]["type"]["enum"]
    assert loaded(tmp_path).errors[0].code == "DR104"
