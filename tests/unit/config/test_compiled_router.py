"""Router, listeners, TLS, cache: each key becomes its value in the model, and has its default."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from router.model.listener import AssociationLimits, Listener
from router.model.plan import RouterSettings, StoreSettings
from router.model.station import TlsProfile
from tests.support.configuration import BASE, loaded, write


def plan(folder, text: str, **options):
    result = loaded(folder, text, **options)
    assert result.errors == (), result.render()
    return result.plan


def codes(folder, text: str) -> list[str]:
    return [problem.code for problem in loaded(folder, text).errors]


ROUTER = "version: 1\nrouter: {name: edge, ae_title: EDGE, data_dir: data"


def test_a_router_has_its_defaults(tmp_path):
    seen = plan(tmp_path, "rules: []", base=BASE)
    assert seen.router == RouterSettings("edge", "EDGE", tmp_path.resolve() / "data")
    assert (seen.router.id, seen.router.organization, seen.router.unmatched) == (None, "", "keep")
    assert (seen.listeners, seen.tls, seen.stations, seen.rules) == ({}, {}, {}, ())


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("id: 0", {"id": 0}),
        ("id: 2147483647", {"id": 2**31 - 1}),
        ("organization: Hospital A", {"organization": "Hospital A"}),
        ("unmatched: discard", {"unmatched": "discard"}),
        ("unmatched: refuse", {"unmatched": "refuse"}),
    ],
)
def test_what_is_written_of_the_router(tmp_path, written, changes):
    seen = plan(tmp_path, "rules: []", base=f"{ROUTER}, {written}}}\n").router
    assert seen == replace(
        plan(tmp_path / "plain", "rules: []").router, **changes, data_dir=seen.data_dir
    )


def test_an_absolute_data_folder_stays_where_it_is(tmp_path):
    base = BASE.replace("data_dir: data", "data_dir: /var/lib/dicom-router")
    assert str(plan(tmp_path, "rules: []", base=base).router.data_dir) == "/var/lib/dicom-router"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("id: -1", "DR105"),
        ("id: 2147483648", "DR105"),
        ("id: '42'", "DR102"),
        ("unmatched: drop", "DR104"),
        ("organization: 7", "DR102"),
        ("organisation: X", "DR101"),
    ],
)
def test_a_router_that_cannot_be_meant(tmp_path, written, code):
    result = loaded(tmp_path, "rules: []", base=f"{ROUTER}, {written}}}\n")
    assert [problem.code for problem in result.errors] == [code]


@pytest.mark.parametrize("missing", ["name", "ae_title", "data_dir"])
def test_what_a_router_needs(tmp_path, missing):
    base = {"name": "edge", "ae_title": "EDGE", "data_dir": "d"}
    written = ", ".join(f"{key}: {value}" for key, value in base.items() if key != missing)
    write(tmp_path, base=f"version: 1\nrouter: {{{written}}}\n")
    (problem,) = loaded(tmp_path).errors
    assert (problem.code, problem.message) == ("DR103", f"router needs '{missing}'")


LAN = Listener("lan", "dimse", "0.0.0.0", 11112, ("EDGE",))


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("", {}),
        ("accept: any", {"accept": "any"}),
        ("ae_titles: OTHER", {"ae_titles": ("OTHER",)}),
        ("ae_titles: [' A ', B]", {"ae_titles": ("A", "B")}),
        ("tls: house", {"tls": "house"}),
        ("limits: {associations: 9}", {"limits": AssociationLimits(associations=9)}),
        (
            "limits: {associations_per_address: 8, associations_per_ae_title: 7}",
            {"limits": AssociationLimits(associations_per_address=8, associations_per_ae_title=7)},
        ),
        ("limits: {max_pdu: 16KiB}", {"limits": AssociationLimits(max_pdu_bytes=16_384)}),
        ("limits: {idle: 5m}", {"limits": AssociationLimits(idle_seconds=300)}),
        ("limits: {life: 1h}", {"limits": AssociationLimits(life_seconds=3600)}),
    ],
)
def test_a_dimse_listener(tmp_path, written, changes):
    tls = "tls: {house: {cert: base.yaml, key: base.yaml}}\n" if "tls" in written else ""
    more = f", {written}" if written else ""
    text = f'{tls}listeners: {{lan: {{type: dimse, bind: "0.0.0.0:11112"{more}}}}}'
    assert plan(tmp_path, text).listeners["lan"] == replace(LAN, **changes)


def test_association_limits_not_written_are_those_of_the_model(tmp_path):
    limits = plan(tmp_path, 'listeners: {a: {type: dimse, bind: "*:1"}}').listeners["a"].limits
    assert limits == AssociationLimits()
    assert {field.name for field in fields(AssociationLimits)} >= {"pending_connections"}


@pytest.mark.parametrize(
    ("bind", "host", "port"),
    [
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::]:104", "::", 104),
        ("[fe80::1]:104", "fe80::1", 104),
        ("localhost:104", "localhost", 104),
        ("*:104", "*", 104),
    ],
)
def test_f12_f38_where_a_listener_binds(tmp_path, bind, host, port):
    seen = plan(tmp_path, f'listeners: {{a: {{type: dimse, bind: "{bind}"}}}}').listeners["a"]
    assert (seen.host, seen.port) == (host, port)


@pytest.mark.parametrize(
    "bind",
    ["11112", "0.0.0.0", "0.0.0.0:", ":104", "::1:104", "a b:1", "host:65536", "host:123456"],
)
def test_where_nobody_can_bind(tmp_path, bind):
    assert codes(tmp_path, f'listeners: {{a: {{type: dimse, bind: "{bind}"}}}}') == ["DR105"]


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("0.0.0.0:104", "0.0.0.0:104", True),
        ("0.0.0.0:104", "10.1.1.1:104", True),
        ("[::]:104", "10.1.1.1:104", True),
        ("10.1.1.1:104", "10.1.1.2:104", False),
        ("0.0.0.0:104", "0.0.0.0:105", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_two_listeners_on_one_port(tmp_path, one, other, collide):
    text = f'listeners:\n  a: {{type: dimse, bind: "{one}"}}\n  b: {{type: dimse, bind: "{other}"}}'
    assert codes(tmp_path, text) == (["DR206"] if collide else [])


def test_every_service_is_offered(tmp_path):
    text = 'listeners: {a: {type: http, bind: "127.0.0.1:1", serve: [metrics, ui, api, cache]}}'
    result = loaded(tmp_path, text)
    assert result.plan.listeners["a"].serve == ("metrics", "ui", "api", "cache")
    assert not result.problems


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("type: http, bind: '127.0.0.1:1'", ["DR103"]),
        ("type: http, bind: '127.0.0.1:1', serve: []", ["DR106"]),
        ("type: http, bind: '127.0.0.1:1', serve: [ui, ui]", ["DR106"]),
        ("type: http, bind: '127.0.0.1:1', serve: metrics", ["DR102"]),
        ("type: http, bind: '[::]:1', serve: [metrics]", ["DR403"]),
        ("type: http, bind: 'edge.example:1', serve: [metrics]", ["DR403"]),
        ("type: http, bind: '127.0.0.1:1', serve: [metrics], tls: a", ["DR101"]),
        ("type: https, bind: '0.0.0.0:1', serve: [cache]", ["DR103"]),
        ("type: https, bind: '0.0.0.0:1', serve: [cache], tls: house", ["DR202"]),
        ("type: dimse, bind: '0.0.0.0:1', tls: empty", ["DR202"]),
        ("type: dimse, bind: '0.0.0.0:1', accept: everyone", ["DR104"]),
        ("type: dimse, bind: '0.0.0.0:1', ae_titles: []", ["DR106"]),
        ("type: dimse, bind: '0.0.0.0:1', ae_titles: ''", ["DR105"]),
        ("type: dimse, bind: '0.0.0.0:1', limits: {associations: 0}", ["DR105"]),
        ("type: dimse", ["DR103"]),
        ("bind: '0.0.0.0:1'", ["DR103"]),
        ("type: [dimse], bind: '0.0.0.0:1'", ["DR104"]),
    ],
)
def test_a_listener_that_cannot_be_meant(tmp_path, written, expected):
    text = f"tls: {{empty: {{}}}}\nlisteners: {{a: {{{written}}}}}"
    assert codes(tmp_path, text) == expected


def test_a_listener_that_is_no_mapping(tmp_path):
    assert codes(tmp_path, "listeners: {a: 104}") == ["DR102"]


def test_tls_profiles(tmp_path):
    text = "tls:\n  a: {}\n  b: {cert: base.yaml, key: site.yaml, ca: base.yaml, client_auth: optional}"
    profiles = plan(tmp_path, text).tls
    root = tmp_path.resolve()
    assert profiles["a"] == TlsProfile("a", None, None, None, "none")
    assert profiles["b"] == TlsProfile(
        "b", root / "base.yaml", root / "site.yaml", root / "base.yaml", "optional"
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("cert: base.yaml", ["DR103"]),
        ("key: base.yaml", ["DR103"]),
        ("client_auth: optional", ["DR103"]),
        ("client_auth: must", ["DR104"]),
        ("ca: nowhere.pem", ["DR401"]),
        ("ca: .", ["DR401"]),
        ("certificate: base.yaml", ["DR101"]),
    ],
)
def test_a_tls_profile_that_cannot_be_meant(tmp_path, written, expected):
    assert codes(tmp_path, f"tls: {{a: {{{written}}}}}") == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", StoreSettings(None, None)),
        ("cache: {}", StoreSettings(None, None)),
        ("cache: {max_size: 1GB}", StoreSettings(10**9, None)),
        ("cache: {keep: 1d}", StoreSettings(None, 86_400.0)),
        ("cache: {max_size: 1TiB, keep: 90m}", StoreSettings(2**40, 5400.0)),
    ],
)
def test_bounds_of_the_store(tmp_path, written, expected):
    assert plan(tmp_path, written or "rules: []").store == expected


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "0815", "x" * 64])
def test_names_that_can_be_used(tmp_path, name):
    assert list(plan(tmp_path, f"stations: {{{name}: {{ae_title: A}}}}").stations) == [name]


@pytest.mark.parametrize("name", ["'a b'", "a/b", "ä", "'-'", "x" + "x" * 64, "'a:b'", "放"])
@pytest.mark.parametrize("section", ["stations", "listeners", "tls"])
def test_names_that_cannot(tmp_path, name, section):
    inner = {"stations": "{ae_title: A}", "listeners": '{type: dimse, bind: "*:1"}', "tls": "{}"}
    text = f"{section}: {{{name}: {inner[section]}}}"
    assert codes(tmp_path, text) == ["DR105"]
