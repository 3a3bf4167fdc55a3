"""In an editor: yaml-language-server and `check` flag the same places, and keys are completed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from router.installed import example_files
from tests.support.language_server import LanguageServer
from tests.support.process import PROJECT
from tests.unit.config.test_mistakes import PAIRS

# Two keys that need or exclude each other, and what stands behind a colon, are checked by meaning.
BEYOND_A_SCHEMA = {
    "environment: a certificate without its key",
    "environment: client certificates without an authority",
    "meaning: a route entry without a destination",
    "meaning: a rule that routes and discards",
    "meaning: two keys in one step",
    "meaning: neither a secret nor a key",
    "shape: a port that is none",
    "shape: a name that is none",
}
CODES = "DR10[1-7]"
STATION = "stations:\n  pacs:\n    ae_title: PACS\n    host: pacs.example\n    \n"


@pytest.fixture(scope="module")
def editor(tmp_path_factory, yaml_language_server):
    """A server over a folder as `init` writes it: the schema lies beside the files."""
    folder = tmp_path_factory.mktemp("site")
    schema = folder / "dicom-router.schema.json"
    shutil.copy(PROJECT / "schemas" / schema.name, schema)
    with LanguageServer(folder, schema) as server:
        yield server


def test_it_flags_the_places_that_check_names(editor):
    pairs = [pair for pair in PAIRS if not pair[0].startswith("text: ")]
    assert BEYOND_A_SCHEMA <= {title for title, _, _ in pairs}
    found = editor.diagnostics([written for _, written, _ in pairs])
    compared = 0
    for (title, _, expected), seen in zip(pairs, found, strict=True):
        wanted = {
            (int(line), int(column))
            for line, column in re.findall(rf"site\.yaml:(\d+):(\d+): error {CODES}", expected)
        }
        if title not in BEYOND_A_SCHEMA and (wanted or "DR290" not in expected):
            compared += bool(wanted)
            assert {(line, column) for line, column, _ in seen} == wanted, (title, seen)
    assert compared > 30


def test_it_flags_nothing_in_what_we_ship(editor):
    files = [*(PROJECT / "rules").glob("*.yaml"), *(PROJECT / "samples").rglob("*.yaml")]
    texts = [
        re.sub("^# yaml-language-server.*", "#", path.read_text("utf-8"))
        for path in files
        if not path.name.endswith(".test.yaml")
    ]
    assert editor.diagnostics(texts) == [[] for _ in texts]


def test_it_completes_the_keys_of_a_station_and_leaves_out_those_that_stand_there(editor):
    labels = completed(editor, STATION, line=4, character=4)
    assert {"port", "send", "tls", "description", "query_retrieve", "external"} <= labels
    assert not labels & {"ae_title", "host", "url", "bind", "route"}


def test_it_completes_sections_operators_facts_and_steps(editor):
    assert {"stations", "rules", "listeners"} <= completed(editor, "version: 1\n\n", 1, 0)
    match = "rules:\n  - name: a\n    match:\n      "
    assert {"from", "sop_class", "not"} <= completed(editor, match, 3, 6)
    operators = "rules:\n  - name: a\n    match:\n      StudyDescription:\n        "
    assert {"regex", "glob", "exists"} <= completed(editor, operators, 4, 8)
    steps = "rules:\n  - name: a\n    morph:\n      - "
    assert {"set", "prefix", "replace"} <= completed(editor, steps, 3, 8)


def test_it_explains_a_key_with_its_example(editor):
    address = editor.open(STATION)
    place = {"textDocument": {"uri": address}, "position": {"line": 3, "character": 6}}
    text = editor.request("textDocument/hover", place)["contents"]["value"]
    assert "names are resolved at every association" in text.replace("\\", "")
    assert "pacs.hospital-a.example" in text.replace("\\", "")


def completed(editor, text, line, character):
    address = editor.open(text)
    place = {
        "textDocument": {"uri": address},
        "position": {"line": line, "character": character},
    }
    return {item["label"] for item in editor.request("textDocument/completion", place)["items"]}


def test_init_writes_what_editors_need():
    files = example_files()
    settings = json.loads(files[".vscode/settings.json"])
    (schema,) = settings["yaml.schemas"]
    assert Path(schema).name in files
    assert "indent_size = 2" in files[".editorconfig"]
    for name, text in files.items():
        if name.endswith(".yaml") and not name.endswith(".test.yaml"):
            assert text.startswith("# yaml-language-server: $schema=./dicom-router.schema.json\n")
