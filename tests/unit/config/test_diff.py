"""The difference of two configurations: what a reader of both files would name, and nothing else."""

from __future__ import annotations

import pytest

from router.config.diff import Difference, compare
from router.config.folder import Source

BASE = """\
version: 1
router: {name: edge, ae_title: EDGE}
stations:
  pacs: {ae_title: PACS, port: 104}
rules:
  - {name: a, match: {PatientID: 12}, route: [pacs]}
  - {name: b, route: [pacs]}
"""


def differences(before, after):
    def sources(text):
        return (Source("a.yaml", "a.yaml", text),) if text else ()

    return [(one.kind, one.path) for one in compare(sources(before), sources(after))]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("port: 104", "port: 11112", [("changed", "stations.pacs.port")]),
        ("{ae_title: PACS, port: 104}", "{port: 104, ae_title: PACS}  # moved", []),
        ("port: 104}", "port: 104}\n  new: {ae_title: N}", [("added", "stations.new")]),
        ("  pacs: {ae_title", "  x: {ae_title", [("added", "stations.x"), ("removed", "stations.pacs")]),
        ("PatientID: 12", "PatientID: 0012", [("changed", "rules.a.match.PatientID")]),
        ("port: 104", "port: 104, tls: {a: 1}", [("added", "stations.pacs.tls")]),
        ("port: 104", "port: 104.0", [("changed", "stations.pacs.port")]),
        ("name: b", "name: c", [("added", "rules.c"), ("removed", "rules.b")]),
        ("b, route", "b, final: true, route", [("added", "rules.b.final")]),
    ],
)  # fmt: skip
def test_each_change_is_named_once(before, after, found):
    assert differences(BASE, BASE.replace(before, after)) == found


def test_rules_that_change_places_are_one_change_and_the_order_is_shown():
    first, second = BASE.splitlines()[-2:]
    text = BASE.replace(f"{first}\n{second}", f"{second}\n{first}")
    (found,) = compare((Source("a", "a", BASE),), (Source("a", "a", text),))
    assert found == Difference("changed", "rules (order)", "a, b", "b, a")


def test_against_nothing_all_is_new():
    assert {kind for kind, _ in differences("", BASE)} == {"added"}
