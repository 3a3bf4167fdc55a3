"""`organizations:`: who stands under whom, what their stations inherit, and where each value is from."""

from __future__ import annotations

import pytest

from router.flow.told import effective_settings
from router.model.organization import Organization, below, lineage
from router.model.station import Heartbeat, Retry
from tests.support.configuration import loaded

TREE = """\
tls:
  hospital: {}
defaults:
  station: {heartbeat: {every: 5m}}
  retry: {factor: 3}
organizations:
  Hospital A:
    description: University hospital
    defaults:
      station:
        character_set: ISO_IR 100
        heartbeat: {timeout: 3s}
        limits: {associations: 4, requests: 2}
        move_destinations: [pacs]
  Radiology of A:
    parent: Hospital A
    defaults: {station: {issuer_of_patient_id: RAD, character_set: ISO_IR 192}}
  Hospital B: {}
stations:
  pacs: {ae_title: PACS, host: pacs, port: 104, send: true, organization: Hospital A}
  mr:
    ae_title: MR
    host: mr
    port: 104
    organization: Radiology of A
    heartbeat: {timeout: 7s}
    limits: {associations: 1}
  ct: {ae_title: CT, organization: Radiology of A}
  web: {type: dicomweb, url: "https://x.example", organization: Hospital A}
  drop: {type: folder, path: drop, organization: Hospital A}
  other: {ae_title: OTHER, organization: Hospital B}
  ours: {ae_title: OURS}
"""


@pytest.fixture
def plan(tmp_path):
    found = loaded(tmp_path, TREE)
    assert found.plan is not None, found.problems
    return found.plan


def test_f15_a_station_has_what_its_organization_and_those_above_it_say(plan):
    ct = plan.stations["ct"]
    assert ct.organization == "Radiology of A" and ct.move_destinations == ("pacs",)
    assert (ct.issuer_of_patient_id, ct.character_set) == ("RAD", "ISO_IR 192")
    assert ct.heartbeat == Heartbeat(False, 300, 3), "without a port there is none"
    assert ct.limits.associations == 4 and ct.retry == Retry(factor=3)
    assert ct.hooks.receive.unpacked() == (("default", {"IssuerOfPatientID": "RAD"}),)
    assert plan.stations["other"].character_set == ""


def test_f15_what_a_station_writes_itself_counts_key_by_key(plan):
    mr = plan.stations["mr"]
    assert mr.heartbeat == Heartbeat(True, 300, 7)
    assert mr.limits.associations == 1 and mr.issuer_of_patient_id == "RAD"


def test_f15_a_kind_is_spared_what_it_does_not_know(plan):
    assert plan.stations["web"].limits.requests == 2
    assert plan.stations["web"].character_set == "ISO_IR 100"
    assert plan.stations["drop"].heartbeat == Heartbeat(True, 300, 3)


def test_f15_the_effective_settings_say_where_each_is_from(plan):
    found = {
        one["key"]: (one["value"], one["from"]) for one in effective_settings(plan.stations["mr"])
    }
    assert found == {
        "ae_title": ("MR", "station"),
        "host": ("mr", "station"),
        "port": ("104", "station"),
        "organization": ("Radiology of A", "station"),
        "heartbeat.timeout": ("7s", "station"),
        "heartbeat.every": ("5m", "defaults"),
        "retry.factor": ("3", "defaults"),
        "limits.associations": ("1", "station"),
        "issuer_of_patient_id": ("RAD", "Radiology of A"),
        "character_set": ("ISO_IR 192", "Radiology of A"),
        "move_destinations": ('["pacs"]', "Hospital A"),
    }
    places = {one["key"]: one["written_in"] for one in effective_settings(plan.stations["mr"])}
    assert places["issuer_of_patient_id"].endswith("site.yaml:17")


def test_f14_stations_of_an_organization_are_those_below_it_too(plan):
    assert plan.stations_of(["Hospital A"]) == {"pacs", "mr", "ct", "web", "drop"}
    assert plan.stations_of(["Radiology of A", "Hospital B"]) == {"mr", "ct", "other"}
    assert plan.stations_of(["edge"]) == {"ours"}, "the router's own name, where it has no more"
    assert plan.stations_of(["nobody"]) == plan.stations_of([]) == frozenset()


def test_f14_without_the_section_every_station_is_the_routers_own(tmp_path):
    base = "version: 1\nrouter: {name: e, ae_title: E, data_dir: d, organization: Hospital A}\n"
    plan = loaded(tmp_path, "stations: {ct: {ae_title: CT}}", base=base).plan
    assert plan.stations["ct"].organization == "Hospital A"
    assert plan.organizations == {"Hospital A": Organization("Hospital A")}


def test_f15_an_inherited_place_counts_not(tmp_path):
    """Where a setting stands is no part of what it means."""
    inherited = loaded(tmp_path / "a", TREE).plan.stations["other"]
    assert (
        inherited.settings
        and inherited == loaded(tmp_path / "b", "\n" + TREE).plan.stations["other"]
    )


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("stations: {a: {ae_title: A, organization: Hospitl A}}", "DR201", "did you mean 'Hospital A'"),
        ("organizations: {C: {parent: Hospitl A}}", "DR201", "did you mean 'Hospital A'"),
        ("organizations: {C: {parent: D}, D: {parent: C}}", "DR105", "under itself"),
        ("organizations: {C: {parent: C}}", "DR105", "under itself"),
        ("organizations: {' C': {}}", "DR105", "blank"),
        (f"organizations: {{{'C' * 65}: {{}}}}", "DR105", "64"),
        ("organizations: {C: {default: {}}}", "DR101", "did you mean 'defaults'"),
        ("organizations: {C: {defaults: {station: {heartbeet: {}}}}}", "DR101", "heartbeat"),
        ("organizations: {C: {defaults: {station: {host: a}}}}", "DR101", "host"),
        ("organizations: {C: {defaults: {station: {heartbeat: {every: 5}}}}}", "DR102", "unit"),
        ("organizations: [C]", "DR102", "mapping"),
        ("organizations: {C: [x]}", "DR102", "mapping"),
        (
            "organizations: {D: {description: 7}}",
            "DR102",
            "text",
        ),
    ],
)  # fmt: skip
def test_f15_a_mistake_is_told_with_its_cure(tmp_path, text, code, words):
    base = "version: 1\nrouter: {name: e, ae_title: E, data_dir: d, organization: Hospital A}\n"
    found = loaded(tmp_path, text, base=base)
    told = [f"{one.message} {one.hint}" for one in found.problems if one.code == code]
    assert found.plan is None and any(words in one for one in told), found.problems


def test_f15_a_mistake_in_what_is_inherited_is_told_once(tmp_path):
    text = (
        "organizations: {C: {defaults: {station: {tls: none}}}}\n"
        "stations: {a: {ae_title: A, organization: C}, b: {ae_title: B, organization: C}}"
    )
    assert [one.code for one in loaded(tmp_path, text).problems] == ["DR202"]


def test_f15_lineages_end_where_a_circle_would_begin():
    circle = {name: Organization(name, parent=other) for name, other in ("ab", "bc", "ca")}
    assert lineage(circle, "a") == ("a", "b", "c") and lineage(circle, "x") == ()
    assert below(circle, ["b"]) == {"a", "b", "c"}
