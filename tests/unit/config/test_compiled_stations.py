"""Every key of every kind of station becomes its value in the model, and is its default otherwise."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from router.model.recipe import Recipe
from router.model.station import (
    Basic,
    Bearer,
    Duplicates,
    Heartbeat,
    Hooks,
    Limits,
    OAuth,
    Retry,
    Secret,
    Station,
)
from tests.support.configuration import all_plugs, loaded

DICOM = "ae_title: CT1, host: ct.example, port: 104"
CLOUD = "type: dicomweb, url: 'https://cloud.example/v2'"
DROP = "type: folder, path: /srv/drop"
MINIMAL = {
    "dicom": (DICOM, {"ae_title": "CT1", "host": "ct.example", "port": 104}),
    "dicomweb": (CLOUD, {"url": "https://cloud.example/v2"}),
    "folder": (DROP, {}),
}
MINIMAL = {
    kind: (written, Station("a", kind, organization="edge", **settings))
    for kind, (written, settings) in MINIMAL.items()
}


def station(folder, written: str, extra: str = "", **environment: str) -> Station:
    result = loaded(folder, f"{extra}\nstations:\n  a: {{{written}}}\n", **environment)
    assert result.errors == (), result.render()
    return result.plan.stations["a"]


@pytest.mark.parametrize("kind", MINIMAL)
def test_what_is_not_written_has_its_default(tmp_path, kind):
    written, expected = MINIMAL[kind]
    seen = station(tmp_path, written)
    if kind == "folder":
        assert str(seen.path) == "/srv/drop"
        seen = replace(seen, path=None)
    assert seen == expected
    assert seen.heartbeat == Heartbeat(True, 600.0, 10.0)
    assert seen.retry == Retry(30.0, 2.0, 1800.0, 604_800.0)
    assert seen.limits == Limits(2, 8, 16, 64 * 2**20, None, None, 60.0, 262_144)


FILLED = Recipe.of([("default", {"IssuerOfPatientID": "HOSPA"})])
COMMON = {
    "description: Main archive": {"description": "Main archive"},
    "organization: edge": {"organization": "edge"},
    "active: false": {"active": False},
    "external: true": {"external": True},
    "transfer_syntax: RLELossless": {
        "hooks": Hooks(send=Recipe.of([("transfer_syntax", "1.2.840.10008.1.2.5")]))
    },
    "send: true": {"send": True},
    "heartbeat: {enabled: false}": {"heartbeat": Heartbeat(False, 600, 10)},
    "heartbeat: {every: 1m, timeout: 2s}": {"heartbeat": Heartbeat(True, 60, 2)},
    "retry: {first: 1s}": {"retry": Retry(first_seconds=1)},
    "retry: {factor: 1.5, max: 1h, give_up: 1d}": {"retry": Retry(30, 1.5, 3600, 86_400)},
}
REMOTE = {
    "query_retrieve: true": {"query_retrieve": True},
    "archive_server: true": {"archive_server": True},
    "iocm: true": {"iocm": True},
    "cancel_unsent: all": {"cancel_unsent": "all"},
    "duplicates: {other_content: replace}": {"duplicates": Duplicates(other_content="replace")},
    "duplicates: {same_content: send_again, other_content: quarantine}": {
        "duplicates": Duplicates("send_again", "quarantine")
    },
    "original_patient_id: false": {"original_patient_id": False},
    "character_set: ISO_IR 100": {"character_set": "ISO_IR 100"},
    "morph: {send: [{blank: StudyID}], find_response: [{remove: PatientID}]}": {
        "hooks": Hooks(
            send=Recipe.of([("blank", "StudyID")]),
            find_response=Recipe.of([("remove", "PatientID")]),
        )
    },
    "tls: house": {"tls": "house"},
    "limits: {batch: {instances: 3}}": {"limits": Limits(batch_instances=3)},
    "limits: {batch: {size: 1MB}}": {"limits": Limits(batch_bytes=1_000_000)},
    "limits: {bandwidth: 8kbit/s}": {"limits": Limits(bandwidth_bytes_per_second=1000)},
    "limits: {timeout: 5m}": {"limits": Limits(timeout_seconds=300)},
}
HOURS = {"limits: {hours: '19:00-07:00'}": {"limits": Limits(hours=(1140, 420))}}
OF_DICOM = {
    "commit: true": {"commit": "request"},
    "commit: query": {"commit": "query"},
    "issuer_of_patient_id: HOSPA": {
        "issuer_of_patient_id": "HOSPA",
        "hooks": Hooks(receive=FILLED),
    },
    "calling_ae_title: ' EDGE_B '": {"calling_ae_title": "EDGE_B"},
    "move_destinations: a, send: true": {"move_destinations": ("a",), "send": True},
    "limits: {associations: 4}": {"limits": Limits(associations=4)},
    "limits: {max_pdu: 64KiB}": {"limits": Limits(max_pdu_bytes=65_536)},
}
OF_DICOMWEB = {
    "issuer_of_patient_id: HOSPA": {
        "issuer_of_patient_id": "HOSPA",
        "hooks": Hooks(receive=FILLED, retrieve_response=FILLED),
    },
    **{
        f"profile: {name}": {"profile": name, "external": True}
        for name in ("azure", "google", "aws")
    },
    **{f"profile: {name}": {"profile": name} for name in ("orthanc", "dcm4chee", "generic")},
    "profile: azure, external: false": {"profile": "azure"},
    "commit: true": {"commit": "query"},
    "delete_rejected: true, iocm: true": {"delete_rejected": True, "iocm": True},
    "allow_insecure_http: true": {"allow_insecure_http": True},
    "limits: {requests: 1}": {"limits": Limits(requests=1)},
}
CASES = [
    (kind, written, changes)
    for kind, keys in (
        ("dicom", {**COMMON, **REMOTE, **HOURS, **OF_DICOM}),
        ("dicomweb", {**COMMON, **REMOTE, **HOURS, **OF_DICOMWEB}),
        ("folder", {**COMMON, **HOURS}),
    )
    for written, changes in keys.items()
]


@pytest.mark.parametrize(
    ("kind", "written", "changes"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES]
)
def test_f25_what_is_written_is_what_the_station_has(tmp_path, kind, written, changes):
    start, expected = MINIMAL[kind]
    extra = "tls: {house: {}}" if "tls" in changes else ""
    seen = station(tmp_path, f"{start}, {written}", extra)
    assert replace(seen, path=None) == replace(expected, **changes)


def test_no_key_of_the_language_is_forgotten_above():
    """Each key of each kind stands in a case, or in a test of its own below."""
    elsewhere = {"type", "auth", "morph", *("ae_title", "host", "port", "url", "path")}
    for kind, shape in all_kinds().items():
        tried = {written.split(":")[0] for of, written, _ in CASES if of == kind}
        assert set(shape["properties"]) - tried - elsewhere == set(), kind
        limits = shape["properties"]["limits"]["properties"]
        tried = {case[1].split("{")[1].split(":")[0] for case in CASES if "limits" in case[1]}
        assert set(limits) <= tried


def all_kinds():
    from router.config.shapes_stations import stations

    return stations(all_plugs().station_kinds)


def test_every_field_of_the_model_can_be_written():
    reached = {name for _, _, changes in CASES for name in changes}
    alone = {"name", "kind", "ae_title", "host", "port", "url", "path", "auth", "place"} | {
        "settings"
    }
    assert {field.name for field in fields(Station)} == reached | alone


@pytest.mark.parametrize(
    "title", ["A", "ab-1_2.3", "SIXTEEN_CHARS_XX", "with space", "'0815'", "'{~}'"]
)
def test_f11_ae_titles(tmp_path, title):
    assert station(tmp_path, f"ae_title: {title}").ae_title == title.strip("'")


def test_f11_outer_spaces_of_an_ae_title_mean_nothing_and_case_does(tmp_path):
    seen = loaded(tmp_path, "stations: {a: {ae_title: ' Ct 1  '}, b: {ae_title: 'CT 1'}}").plan
    assert sorted(seen.stations_by_ae_title) == ["CT 1", "Ct 1"]


@pytest.mark.parametrize(
    "url", ["https://a", "https://a:8443", "https://[2001:db8::1]:8443/v2", "https://a.b/c/d-e_f"]
)
def test_addresses_of_servers(tmp_path, url):
    assert station(tmp_path, f"type: dicomweb, url: '{url}'").url == url


def test_the_kind_dicom_need_not_be_said(tmp_path):
    assert station(tmp_path / "a", "ae_title: A") == station(
        tmp_path / "b", "type: dicom, ae_title: A"
    )


def test_a_station_without_a_port_is_never_probed(tmp_path):
    defaults = "defaults: {station: {heartbeat: {enabled: true, every: 5m}}}"
    assert station(tmp_path / "a", "ae_title: A", defaults).heartbeat == Heartbeat(False, 300, 10)
    assert station(tmp_path / "b", DICOM, defaults).heartbeat == Heartbeat(True, 300, 10)


def test_f15_defaults_reach_each_station_and_each_may_differ(tmp_path):
    defaults = (
        "defaults:\n  station: {heartbeat: {every: 5m, timeout: 3s}}\n"
        "  retry: {first: 5s, factor: 3, max: 1m, give_up: 1h}"
    )
    plain = station(tmp_path / "a", DROP, defaults)
    assert (plain.heartbeat, plain.retry) == (Heartbeat(True, 300, 3), Retry(5, 3, 60, 3600))
    own = station(
        tmp_path / "b", f"{DROP}, heartbeat: {{timeout: 9s}}, retry: {{max: 2m}}", defaults
    )
    assert (own.heartbeat, own.retry) == (Heartbeat(True, 300, 9), Retry(5, 3, 120, 3600))


def test_a_relative_path_starts_at_the_configuration_folder(tmp_path):
    assert station(tmp_path, "type: folder, path: drop/x").path == tmp_path.resolve() / "drop/x"


OAUTH = "type: oauth2, token_url: 'https://login.example/token', client_id: edge"
PLAIN_OAUTH = OAuth("https://login.example/token", "edge", client_secret=Secret("env", "S"))
AUTH = {
    f"{OAUTH}, client_secret: {{env: S}}": PLAIN_OAUTH,
    f"{OAUTH}, client_secret: {{file: base.yaml}}": replace(
        PLAIN_OAUTH, client_secret=Secret("file", "base.yaml")
    ),
    f"{OAUTH}, client_secret: {{env: S}}, scope: one": replace(PLAIN_OAUTH, scope=("one",)),
    f"{OAUTH}, client_secret: {{env: S}}, scope: [a, b]": replace(PLAIN_OAUTH, scope=("a", "b")),
    f"{OAUTH}, client_secret: {{env: S}}, audience: x": replace(PLAIN_OAUTH, audience="x"),
    f"{OAUTH}, client_secret: {{env: S}}, resource: x": replace(PLAIN_OAUTH, resource="x"),
    f"{OAUTH}, client_secret: {{env: S}}, send_secret_in: header": replace(
        PLAIN_OAUTH, send_secret_in="header"
    ),
    "type: bearer, token: {env: S}": Bearer(Secret("env", "S")),
    "type: basic, username: edge, password: {env: S}": Basic("edge", Secret("env", "S")),
}


@pytest.mark.parametrize("written", AUTH)
def test_f41_authentication(tmp_path, written):
    assert station(tmp_path, f"{CLOUD}, auth: {{{written}}}", S="set").auth == AUTH[written]


def test_f43_a_private_key_is_a_file_below_the_folder(tmp_path):
    written = f"{OAUTH}, private_key: {{file: base.yaml}}, key_id: k1"
    auth = station(tmp_path, f"{CLOUD}, auth: {{{written}}}").auth
    assert (auth.private_key, auth.key_id) == (tmp_path.resolve() / "base.yaml", "k1")
    assert auth.client_secret is None


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (OAUTH, "DR103"),
        (f"{OAUTH}, client_secret: {{env: S}}, private_key: {{file: base.yaml}}", "DR103"),
        (f"{OAUTH}, private_key: {{env: S}}", "DR220"),
        (f"{OAUTH}, client_secret: {{env: S, file: base.yaml}}", "DR106"),
        (f"{OAUTH}, client_secret: {{}}", "DR106"),
        (f"{OAUTH}, client_secret: {{vault: S}}", "DR101"),
        ("type: bearer", "DR103"),
        ("type: basic, username: a", "DR103"),
        ("type: basic, username: 5, password: {env: S}", "DR102"),
        ("username: a, password: {env: S}", "DR103"),
        ("type: digest", "DR104"),
    ],
)
def test_f41_authentication_that_cannot_work(tmp_path, written, code):
    result = loaded(tmp_path, f"stations:\n  a: {{{CLOUD}, auth: {{{written}}}}}\n", S="set")
    assert [problem.code for problem in result.errors] == [code], result.render()


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("ae_title: A, host: h, send: true", "DR208"),
        ("ae_title: A, port: 104, send: true", "DR208"),
        ("ae_title: A, query_retrieve: true", "DR208"),
        ("ae_title: A, heartbeat: {every: 1m}", "DR208"),
        ("ae_title: A, morph: {retrieve_request: [{remove: PatientID}]}", "DR101"),
        ("ae_title: A, morph: {receive: [{removed: PatientID}]}", "DR101"),
        ("ae_title: A, morph: {send: nothing}", "DR203"),
        ("ae_title: A, morph: {send: [{restore: PatientID}]}", "DR101"),
        ('ae_title: A, issuer_of_patient_id: "{{ what"', "DR213"),
        ("ae_title: A, port: 0", "DR105"),
        ("ae_title: A, move_destinations: nobody", "DR201"),
        ("ae_title: A, move_destinations: [a]", "DR207"),
        ("ae_title: A, limits: {associations: 65}", "DR105"),
        ("ae_title: A, limits: {requests: 2}", "DR101"),
        ("ae_title: A, retry: {factor: 0.5}", "DR105"),
        ("ae_title: A, profile: azure", "DR101"),
        ("ae_title: A, tls: house", "DR202"),
        ("type: dicomweb", "DR103"),
        ("type: dicomweb, url: 'ftp://a'", "DR105"),
        ("type: dicomweb, url: 'https://a?x=1'", "DR105"),
        ("type: dicomweb, url: 'https://[::1'", "DR105"),
        ("type: dicomweb, url: 'https://[::1::2]'", "DR105"),
        ("type: dicomweb, url: 'https://a:65536/x'", "DR105"),
        ("type: dicomweb, url: 'https://a:x'", "DR105"),
        ("type: dicomweb, url: 'https:///x'", "DR105"),
        ("type: dicomweb, url: 'https://me:pw@a'", "DR107"),
        ("type: dicomweb, url: 'http://a.example'", "DR209"),
        ("type: folder", "DR103"),
        ("type: folder, path: /a, tls: house", "DR101"),
        ("type: folder, path: ''", "DR105"),
    ],
)
def test_a_station_that_cannot_be_meant(tmp_path, written, code):
    result = loaded(tmp_path, f"stations:\n  a: {{{written}}}\n")
    assert [problem.code for problem in result.errors] == [code], result.render()


@pytest.mark.parametrize(
    "written", ["heartbeat: {enabled: false}", "active: true", "host: a", "port: 104", "iocm: true"]
)
def test_f21_host_and_port_are_needed_for_nothing_else(tmp_path, written):
    assert station(tmp_path, f"ae_title: A, {written}")


def test_f40_a_token_endpoint_in_clear_is_refused_too(tmp_path):
    oauth = OAUTH.replace("https://login", "http://login")
    text = f"stations:\n  a: {{{CLOUD}, auth: {{{oauth}, client_secret: {{env: S}}}}}}\n"
    (problem,) = loaded(tmp_path, text, S="x").errors
    assert (problem.code, problem.path) == ("DR209", "stations.a.auth.token_url")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "LOCALHOST"])
def test_f40_in_clear_to_this_machine_is_only_advice(tmp_path, host):
    result = loaded(tmp_path, f"stations: {{a: {{type: dicomweb, url: 'http://{host}:8042/x'}}}}")
    assert "DR313" in [problem.code for problem in result.problems]
    assert result.plan is not None


def test_what_commit_may_be_is_told(tmp_path):
    found = loaded(tmp_path, "stations:\n  a: {ae_title: A, commit: asked}\n")
    assert "one of: false, true, query" in found.render()
