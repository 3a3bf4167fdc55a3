"""`graph`: senders, rules and stations, in three notations of one picture."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from router.cli.author import graph
from tests.support.configuration import BASE, write

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.1.1.21}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  spare: {ae_title: SPARE, host: spare.example}
rules:
  - name: 'a "quoted" rule'
    match: {from: ct-1}
    morph: [{prefix: {AccessionNumber: X-}}]
    route: [{to: pacs, priority: high, transfer_syntax: RLELossless}]
  - name: others
    match: {any: [{Modality: CT}, {PatientID: T}]}
    discard: true
  - {name: "off", enabled: false, route: [pacs]}
"""


@pytest.fixture
def drawn(tmp_path):
    write(tmp_path, base=BASE, site=SITE)

    def draw(form: str) -> str:
        words = ["--config", str(tmp_path), "--format", form]
        return (
            CliRunner().invoke(graph, words, standalone_mode=False, catch_exceptions=False).output
        )

    return draw


def test_json_tells_nodes_and_edges(drawn):
    found = json.loads(drawn("json"))
    rule = 'rule:a "quoted" rule'
    assert {node["id"] for node in found["nodes"]} == {
        *("station:ct-1", "station:pacs", "station:spare"),
        *(rule, "rule:others", "anyone:anyone", "end:discard"),
    }
    assert found["edges"] == [
        {"from": "station:ct-1", "to": rule, "label": ""},
        {"from": rule, "to": "station:pacs", "label": "prefix, in RLE Lossless, high priority"},
        {"from": "anyone:anyone", "to": "rule:others", "label": ""},
        {"from": "rule:others", "to": "end:discard", "label": ""},
    ]


@pytest.mark.parametrize(
    ("form", "node", "arrow"),
    [
        ("mermaid", r'^  n\d+(?:\(\[|\[|\(\()"', r"^  n(\d+) -->(?:\|\"[^\"|]*\"\|)? n(\d+)$"),
        ("dot", r"^  n\d+ \[shape=", r"^  n(\d+) -> n(\d+)(?: \[label=.*\])?;$"),
    ],
)
def test_each_notation_has_the_same_picture(drawn, form, node, arrow):
    text = drawn(form)
    assert len(re.findall(node, text, re.M)) == 7
    assert len(re.findall(arrow, text, re.M)) == 4
    assert "off" not in text
    assert ('a "quoted" rule' in text) is False
