"""Who may open an association: the table, closed by default (PS3.8 9.3.4)."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from router.dimse.handlers import Calling, Rejection
from router.flow.admission import admit, why_refused
from tests.support.inside import plan_of

SITE = """\
listeners:
  lan: {type: dimse, bind: "127.0.0.1:11112", ae_titles: [EDGE, EDGE_B], accept: known_stations}
  open: {type: dimse, bind: "127.0.0.1:11113", accept: any}
  world: {type: dimse, bind: "127.0.0.1:11114", accept: any, networks: any}
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  v6: {ae_title: V6, host: "2001:db8::7"}
  named: {ae_title: NAMED, host: scanner.example}
  roaming: {ae_title: CART}
  far: {ae_title: FAR, host: 8.8.4.4}
  shared-a: {ae_title: SHARED, host: 10.0.1.1}
  shared-b: {ae_title: SHARED, host: 10.0.1.2}
  shared-off: {ae_title: SHARED, host: 10.0.1.3, active: false}
  off: {ae_title: OFF, host: 10.0.0.9, active: false}
"""
CALLING = Rejection(1, 1, 3)
CALLED = Rejection(1, 1, 7)
NAMES = {"scanner.example": ["10.0.2.5", "10.0.2.6"]}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return plan_of(tmp_path_factory.mktemp("site"), SITE)


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """What names resolve to here: a table a test may change, and what was asked."""
    table, asked = dict(NAMES), []

    def look_up(host, *_arguments, **_options):
        asked.append(host)
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, 0))
            for one in table[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table, asked


def calling(title, address, *, called="EDGE", listener="lan", subject=None):
    return Calling(listener, title, called, address, subject)


@pytest.mark.parametrize(
    ("title", "address", "station"),
    [
        ("CT1", "10.0.0.1", "ct-1"),
        ("CT1", "::ffff:10.0.0.1", "ct-1"),
        ("V6", "2001:db8::7", "v6"),
        ("V6", "2001:0db8:0:0::7", "v6"),
        ("V6", "2001:db8::7%eth0", "v6"),
        ("NAMED", "10.0.2.5", "named"),
        ("NAMED", "10.0.2.6", "named"),
        ("NAMED", "::ffff:10.0.2.6", "named"),
        ("CART", "203.0.113.7", "roaming"),
        ("SHARED", "10.0.1.1", "shared-a"),
        ("SHARED", "10.0.1.2", "shared-b"),
    ],
)
def test_p14_a_station_is_known_by_its_title_and_its_host(plan, title, address, station):
    assert admit(plan, calling(title, address)).station == station


@pytest.mark.parametrize(
    ("title", "address"),
    [
        ("CT1", "10.0.0.2"),
        ("CT1", "::ffff:10.0.0.2"),
        ("ct1", "10.0.0.1"),
        ("CT1 ", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("OFF", "10.0.0.9"),
        ("SHARED", "10.0.1.3"),
        ("SHARED", "10.0.9.9"),
        ("V6", "2001:db8::8"),
        ("V6", "10.0.0.1"),
        ("NAMED", "10.0.0.1"),
        ("EDGE", "127.0.0.1"),
        ("*", "10.0.0.1"),
    ],
)
def test_p14_everybody_else_is_not_recognised(plan, title, address):
    assert admit(plan, calling(title, address)) == CALLING


@pytest.mark.parametrize("called", ["", "edge", "EDGE_C", "ANY-SCP", "*"])
def test_p14_the_called_title_must_be_ours_and_is_looked_at_first(plan, called):
    assert admit(plan, calling("CT1", "10.0.0.1", called=called)) == CALLED
    assert admit(plan, calling("NOBODY", "10.9.9.9", called=called)) == CALLED
    assert admit(plan, calling("CT1", "10.0.0.1", called="EDGE_B")).station == "ct-1"


def test_a_listener_that_accepts_any_takes_a_stranger_for_no_station(plan):
    source = admit(plan, calling("WHO", "10.9.9.9", listener="open", subject="CN=who"))
    assert (source.station, source.calling_ae_title) == (None, "WHO")
    assert (source.address, source.listener, source.tls_subject) == ("10.9.9.9", "open", "CN=who")
    known = admit(plan, calling("CT1", "10.0.0.1", listener="open"))
    assert known.station == "ct-1"
    impostor = admit(plan, calling("CT1", "10.9.9.9", listener="open"))
    assert impostor.station is None, "a title alone makes nobody a station"


def test_p14_a_name_is_looked_up_each_time_and_one_that_is_gone_shuts_nobody_else_out(plan, names):
    table, asked = names
    assert admit(plan, calling("NAMED", "10.0.2.5")).station == "named"
    table["scanner.example"] = ["10.0.3.1"]
    assert admit(plan, calling("NAMED", "10.0.2.5")) == CALLING
    assert admit(plan, calling("NAMED", "10.0.3.1")).station == "named"
    del table["scanner.example"]
    assert admit(plan, calling("NAMED", "10.0.3.1")) == CALLING
    assert admit(plan, calling("CT1", "10.0.0.1")).station == "ct-1"
    assert asked == ["scanner.example"] * 4, "addresses are not looked up"


@pytest.mark.parametrize(
    ("title", "address", "called", "words"),
    [
        ("CT1", "10.0.0.1", "WRONG", "listener lan is EDGE, EDGE_B, not 'WRONG'"),
        ("EVE", "10.0.0.1", "EDGE", "no station has the AE title 'EVE': add it, if it may send"),
        ("OFF", "10.0.0.9", "EDGE", "station off is not active"),
        ("CT1", "10.0.0.2", "EDGE",
         "it calls from 10.0.0.2, but its AE title is that of ct-1 at 10.0.0.1"),
        ("SHARED", "10.0.1.3", "EDGE",
         "it calls from 10.0.1.3, but its AE title is that of shared-a at 10.0.1.1, shared-b at 10.0.1.2"),
    ],
)  # fmt: skip
def test_who_is_refused_is_told_in_words_that_say_what_to_mend(plan, title, address, called, words):
    caller = calling(title, address, called=called)
    rejection = admit(plan, caller)
    assert isinstance(rejection, Rejection)
    assert why_refused(plan, caller, rejection) == words


@pytest.mark.parametrize(
    ("title", "address", "listener", "outcome"),
    [
        ("CART", "10.1.2.3", "lan", "roaming"),
        ("CART", "172.16.0.9", "lan", "roaming"),
        ("CART", "fd00::7", "lan", "roaming"),
        ("CART", "fe80::1%eth0", "lan", "roaming"),
        ("CART", "100.64.0.9", "lan", "roaming"),
        ("CART", "127.0.0.1", "lan", "roaming"),
        ("CART", "8.8.8.8", "lan", CALLING),
        ("CART", "::ffff:8.8.8.8", "lan", CALLING),
        ("CART", "2606:4700::1111", "lan", CALLING),
        ("WHO", "8.8.8.8", "open", CALLING),
        ("FAR", "8.8.4.4", "lan", "far"),
        ("FAR", "8.8.4.4", "open", "far"),
        ("WHO", "8.8.8.8", "world", None),
        ("CART", "8.8.8.8", "world", "roaming"),
    ],
)
def test_f38_in_clear_nobody_comes_in_from_a_public_network_but_named_hosts(
    plan, title, address, listener, outcome
):
    found = admit(plan, calling(title, address, listener=listener))
    assert (found if isinstance(found, Rejection) else found.station) == outcome


def test_f38_over_tls_the_network_does_not_count(plan):
    secured = replace(plan.listeners["open"], tls="hospital")
    over_tls = replace(plan, listeners={**plan.listeners, "open": secured})
    assert admit(over_tls, calling("CART", "8.8.8.8", listener="open")).station == "roaming"
    assert admit(over_tls, calling("WHO", "8.8.8.8", listener="open")).station is None


def test_f38_who_is_refused_for_the_network_is_told_the_three_ways_in(plan):
    for caller in (
        calling("CART", "8.8.8.8"),
        calling("WHO", "8.8.8.8", listener="open"),
    ):
        words = why_refused(plan, caller, CALLING)
        assert words == (
            "it calls from 8.8.8.8, no private network, and in clear: write that host into its "
            f"station, have it use TLS, or set networks: any on listener {caller.listener}"
        )
    assert why_refused(plan, calling("EVE", "8.8.8.8"), CALLING).startswith("no station has")
