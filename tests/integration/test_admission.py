"""Who may open an association: closed by default, refused with the standard's reasons, counted.

One router for the whole file: after each refusal a station that is known is served as before.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import wire
from tests.support.ledger_view import ledger_of
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scanner import contexts_for, scan
from tests.support.sender import Sender
from tests.support.synthetic import Synthetic, instance

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
  open: {type: dimse, bind: "127.0.0.1:$anyone", accept: any, ae_titles: [EDGE_A, OPEN_A]}
  admin: {type: http, bind: "127.0.0.1:$http", serve: [metrics]}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  ct-2: {ae_title: CT2, host: localhost}
  by-title: {ae_title: ROAMING}
  retired: {ae_title: OLD_CT, host: 127.0.0.1, active: false}
  elsewhere: {ae_title: FAR_CT, host: 192.0.2.7}
  next-door: {ae_title: NEXT_CT, host: 127.0.0.2}
  ward: {ae_title: WARD_CT, host: no-such-host.invalid}
"""
VERIFICATION = [(wire.VERIFICATION, [wire.IMPLICIT_VR_LITTLE_ENDIAN])]
CALLING, CALLED = (1, 1, 3), (1, 1, 7)
PROMPT_SECONDS = 2.0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    made = Router(tmp_path_factory.mktemp("edge"), SITE, anyone=free_port(), http=free_port())
    made.start()
    yield made
    made.assert_balanced()
    made.kill()


def port_of(edge: Router, listener: str) -> int:
    site = (edge.folder / "site.yaml").read_text()
    (line,) = [line for line in site.splitlines() if line.startswith(f"  {listener}:")]
    return int(line.split("127.0.0.1:")[1].split('"')[0])


def echo(port: int, calling_ae_title: str, called_ae_title: str = "EDGE_A") -> int:
    with Sender(
        port, VERIFICATION, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title
    ) as sender:
        return sender.echo()


@pytest.mark.parametrize(
    ("listener", "calling", "called", "reason"),
    [
        pytest.param("lan", "STRANGER", "EDGE_A", CALLING, id="unknown caller"),
        pytest.param("lan", "ct1", "EDGE_A", CALLING, id="titles are case-sensitive"),
        pytest.param("lan", "CT1", "EDGE_B", CALLED, id="wrong called title"),
        pytest.param("lan", "STRANGER", "ORTHANC", CALLED, id="wrong called title, unknown caller"),
        pytest.param("lan", "OLD_CT", "EDGE_A", CALLING, id="inactive station"),
        pytest.param("lan", "FAR_CT", "EDGE_A", CALLING, id="known title, another address"),
        pytest.param("lan", "NEXT_CT", "EDGE_A", CALLING, id="known title, nearly its address"),
        pytest.param("lan", "WARD_CT", "EDGE_A", CALLING, id="host name that does not resolve"),
        pytest.param("lan", "CT1", "OPEN_A", CALLED, id="the called title of another listener"),
        pytest.param("open", "CT1", "EDGE_B", CALLED, id="wrong called title, accept any"),
    ],
)
def test_p14_refused_with_the_reason_and_the_next_is_served(
    edge: Router, listener: str, calling: str, called: str, reason: tuple[int, int, int]
) -> None:
    port = port_of(edge, listener)
    began = time.monotonic()
    with pytest.raises(wire.RejectedAssociation) as refused:
        echo(port, calling, called)
    assert time.monotonic() - began < PROMPT_SECONDS
    assert refused.value.answer == reason
    assert echo(port, "CT1") == 0


def test_p14_outer_spaces_of_titles_mean_nothing(edge: Router) -> None:
    assert echo(edge.port, "  CT1 ", " EDGE_A") == 0


@pytest.mark.parametrize("calling", ["CT2", "ROAMING"])
def test_f20_p14_a_host_name_is_resolved_and_a_station_without_host_may_roam(
    edge: Router, calling: str
) -> None:
    assert echo(edge.port, calling) == 0


def test_p14_a_station_is_known_at_its_own_address(edge: Router) -> None:
    with socket.create_connection(
        ("127.0.0.1", edge.port), 10, source_address=("127.0.0.2", 0)
    ) as sock:
        sock.sendall(wire.associate_rq("EDGE_A", "NEXT_CT", VERIFICATION))
        assert wire.read_pdu(sock)[0] == wire.ASSOCIATE_AC
        sock.sendall(wire.pdu(wire.ABORT, bytes(4)))


def test_p14_accept_any_takes_strangers_without_taking_them_for_a_station(edge: Router) -> None:
    anyone = port_of(edge, "open")
    stranger, known = instance(1, rows=8, columns=8), instance(2, rows=8, columns=8)
    assert set(scan(anyone, [stranger], calling_ae_title="STRANGER").values()) == {0}
    assert set(scan(anyone, [known], called_ae_title="OPEN_A").values()) == {0}
    assert source(edge, stranger) == (None, "STRANGER", "open", "EDGE_A")
    assert source(edge, known) == ("ct-1", "CT1", "open", "OPEN_A")
    # An inactive station is not known: to a listener for anyone it is anyone.
    retired = instance(3, rows=8, columns=8)
    assert set(scan(anyone, [retired], calling_ae_title="OLD_CT").values()) == {0}
    assert source(edge, retired) == (None, "OLD_CT", "open", "EDGE_A")


def source(edge: Router, image: Synthetic) -> tuple[str | None, str, str, str]:
    """Station, calling title, listener, called title of the stored instance."""
    uid = image.sop_instance_uid

    def is_indexed() -> bool:
        with ledger_of(edge.data_dir) as ledger:
            return bool(ledger.find_instances(uid))

    wait_until(is_indexed, what=f"{uid} is in the ledger")
    with ledger_of(edge.data_dir) as ledger:
        (stored,) = ledger.find_instances(uid)
    found = stored.instance.source
    return found.station, found.calling_ae_title, found.listener, found.called_ae_title


def test_p14_a_refused_caller_cannot_store(edge: Router) -> None:
    image = instance(4, rows=8, columns=8)
    with socket.create_connection(("127.0.0.1", edge.port), 10) as sock:
        sock.sendall(wire.associate_rq("EDGE_A", "STRANGER", contexts_for([image])))
        sock.sendall(
            wire.pdv(
                1,
                wire.encode_command(
                    {
                        0x0002: image.sop_class_uid,
                        0x0100: 1,
                        0x0110: 1,
                        0x0700: 0,
                        0x0800: 1,
                        0x1000: image.sop_instance_uid,
                    }
                ),
                command=True,
                last=True,
            )
        )
        assert wire.read_pdu(sock)[0] == wire.ASSOCIATE_RJ
    kept = instance(5, rows=8, columns=8)
    scan(edge.port, [kept])
    source(edge, kept)
    with ledger_of(edge.data_dir) as ledger:
        assert ledger.find_instances(image.sop_instance_uid) == ()


def test_p14_refusals_are_counted_and_logged(edge: Router) -> None:
    for _ in range(3):
        with pytest.raises(wire.RejectedAssociation):
            echo(edge.port, "EVE reason=none", "EDGE_A")
    assert edge.process is not None
    lines = [json.loads(line) for line in edge.process.errors.read_text().splitlines()]
    told = [line for line in lines if line["event"] == "association refused"]
    assert [line["calling_ae_title"] for line in told[-3:]] == ["EVE reason=none"] * 3
    assert {line["listener"] for line in told[-3:]} == {"lan"}
    assert "no station has the AE title 'EVE reason=none'" in told[-1]["reason"]
    assert {line["address"] for line in told} == {"127.0.0.1"}
    count = sum(line["listener"] == "lan" for line in told)
    wait_until(lambda: refused_count(edge) == count, 5, what=f"{count} refusals are counted")


def refused_count(edge: Router) -> float:
    found = samples(edge, "dicom_router_associations_total", listener="lan", result="refused")
    return sum(value for _, value in found)


def samples(edge: Router, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every sample of that name that has these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port_of(edge, 'admin')}/metrics") as answer:
        text = answer.read().decode()
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_p14_what_is_no_association_request_is_counted_by_reason(edge: Router) -> None:
    before = samples(edge, "dicom_router_connections_refused_total", listener="lan")
    with socket.create_connection(("127.0.0.1", edge.port), 10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n")
        while sock.recv(1024):
            pass
    with pytest.raises(wire.RejectedAssociation):
        echo(edge.port, "STRANGER")

    def counted() -> set[str]:
        now = samples(edge, "dicom_router_connections_refused_total", listener="lan")
        return {labels["reason"] for labels, value in now if (labels, value) not in before}

    wait_until(lambda: counted() >= {"protocol", "authorisation"}, 5, what="both are counted")
