"""`doctor`: each finding from a machine, a network and files as a test plants them, with its fix."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from email.utils import formatdate

import pytest

from router.dimse.certificates import self_signed
from router.serve import examine_machine, examine_network
from router.serve.doctor import examine
from router.serve.examine_machine import Machine, measured_sync_seconds
from router.serve.examine_secrets import examine_callers, examine_certificates, examine_keys
from router.serve.findings import findings_json, findings_text, has_problems, ok, problem, warning
from tests.support.inside import plan_of
from tests.support.process import free_port
from tests.support.scripted_http import answering

GB = 10**9
SITE = """\
router: {name: edge, ae_title: EDGE, data_dir: data, id: 42, organization: "St. José"}
"""
LARGE = Machine(8, 32 * GB, "/dev/sda1 / ext4 rw 0 0\n")


def found(findings):
    """(level, message, fix) by check; a check that was told twice is a mistake of the test."""
    return {one.check: (one.level, one.message, one.fix) for one in findings}


def plan_with(folder, text="", router=SITE):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.yaml").write_text(f"version: 1\n{router}{text}")
    from router.config.load import load
    from router.plugs import all_plugs

    loaded = load(folder, all_plugs(), environment={})
    assert loaded.plan is not None, loaded.render()
    return loaded.plan


@pytest.mark.parametrize(
    ("cores", "memory", "levels"),
    [
        (4, 15 * GB, ("ok", "ok")),
        (3, 15 * GB, ("warning", "ok")),
        (64, 15 * GB - 1, ("ok", "warning")),
    ],
)
def test_f3_a_machine_below_the_size_that_is_asked_for_is_a_warning(
    tmp_path, cores, memory, levels
):
    machine = Machine(cores, memory, LARGE.mounts)
    told = found(examine_machine.examine_machine(plan_with(tmp_path), machine))
    assert (told["cores"][0], told["memory"][0]) == levels
    for check in ("cores", "memory"):
        assert bool(told[check][2]) == (told[check][0] != "ok"), "a fix where there is one to make"


@pytest.mark.parametrize(
    ("cache", "free", "total", "level"),
    [
        ("cache: {max_size: 100GB}", 100, 200, "ok"),
        ("cache: {max_size: 100GB}", 99, 200, "warning"),
        ("", 10, 500, "ok"),
        ("", 499, 499, "warning"),
    ],
)
def test_f3_the_free_disk_is_held_against_the_cache(
    tmp_path, monkeypatch, cache, free, total, level
):
    class Usage:
        pass

    usage = Usage()
    usage.free, usage.total = free * GB, total * GB
    monkeypatch.setattr(examine_machine.shutil, "disk_usage", lambda _: usage)
    told = found(examine_machine.examine_machine(plan_with(tmp_path, f"{cache}\n"), LARGE))
    assert told["disk"][0] == level
    assert f"{free} GB free of {total} GB" in told["disk"][1]


@pytest.mark.parametrize(
    ("mounts", "level", "words"),
    [
        ("/dev/sda1 / ext4 rw 0 0\n", "ok", "ext4"),
        ("tmpfs / tmpfs rw 0 0\n", "problem", "a power cut loses what was acknowledged"),
        ("overlay / overlay rw 0 0\n", "warning", "a layer of a container"),
    ],
)
def test_a_data_directory_that_does_not_last_is_told(tmp_path, mounts, level, words):
    machine = Machine(8, 32 * GB, mounts)
    told = found(examine_machine.examine_machine(plan_with(tmp_path), machine))
    assert told["file system"][0] == level
    assert words in told["file system"][1]


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.021, "warning"), (0.002, "ok"), (0.000_001, "warning")]
)
def test_the_sync_is_measured_and_judged_and_leaves_nothing(tmp_path, monkeypatch, seconds, level):
    plan = plan_with(tmp_path)
    plan.router.data_dir.mkdir(mode=0o700)
    assert 0 < measured_sync_seconds(plan.router.data_dir) < 5
    assert list(plan.router.data_dir.iterdir()) == []
    monkeypatch.setattr(examine_machine, "measured_sync_seconds", lambda _: seconds)
    assert found(examine_machine.examine_machine(plan, LARGE))["sync"][0] == level


def test_a_data_directory_that_others_can_read_is_a_warning_with_the_command(tmp_path):
    plan = plan_with(tmp_path)
    folder = plan.router.data_dir
    folder.mkdir()
    folder.chmod(0o755)
    level, message, fix = found(examine_machine.examine_machine(plan, LARGE))["data directory"]
    assert (level, fix) == ("warning", f"chmod 700 {folder}")
    assert "mode 0755" in message


STATIONS = """\
stations:
  fine: {ae_title: FINE, host: fine.example, port: 104, send: true}
  lost: {ae_title: LOST, host: lost.example, port: 104, send: true}
  cloud: {type: dicomweb, url: "https://cloud.example/x", send: true}
rules: [{name: all, route: [fine, lost, cloud]}]
"""


def test_f3_the_own_name_and_that_of_every_station_are_looked_up(tmp_path, monkeypatch):
    known = {"fine.example": "10.0.0.1", "cloud.example": "203.0.113.7"}

    def look_up(host, *_arguments, **_options):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, 1, 6, "", (known[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "gethostname", lambda: "edge-1")
    told = found(examine_network.examine_names(plan_with(tmp_path, STATIONS)))
    assert told["host name"][0] == "warning"
    assert told["host name"][2].endswith("/etc/hosts: 127.0.1.1 edge-1")
    assert told["station lost"][0] == "problem"
    assert "lost.example resolves to nothing" in told["station lost"][1]
    assert told["stations"][1] == "the hosts of 2 of 3 resolve"
    assert "station fine" not in told
    assert "station cloud" not in told
    known["edge-1"] = "10.0.0.9"
    told = found(examine_network.examine_names(plan_with(tmp_path, STATIONS)))
    assert told["host name"] == ("ok", "edge-1 is 10.0.0.9", "")


def test_a_name_server_that_says_nothing_does_not_hold_doctor_up(tmp_path, monkeypatch):
    gone = threading.Event()

    def silent(*_arguments, **_options):
        gone.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(examine_network, "LOOKUP_SECONDS", 0.2)
    began = time.monotonic()
    told = found(examine_network.examine_names(plan_with(tmp_path, STATIONS)))
    assert time.monotonic() - began < 5
    gone.set()
    assert "within 0 s" in told["station lost"][1]


def test_f12_a_port_that_is_taken_is_named_with_its_listener_and_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, free = other.getsockname()[1], free_port()
        listeners = (
            f'listeners:\n  a: {{type: dimse, bind: "127.0.0.1:{port}"}}\n'
            f'  b: {{type: dimse, bind: "127.0.0.1:{free}"}}\n'
        )
        plan = plan_with(tmp_path, listeners)
        told = found(examine_network.examine_ports(plan, is_running=False))
        running = found(examine_network.examine_ports(plan, is_running=True))
    level, message, fix = told["listener a"]
    assert (level, fix) == ("problem", "stop what listens there, or write another bind")
    assert f"own.yaml:4: listener a: cannot listen on 127.0.0.1:{port}: Address already" in message
    assert told["listener b"] == ("ok", f"127.0.0.1:{free} is free", "")
    assert {one[0] for one in running.values()} == {"ok"}, "its own ports are its own"
    with socket.create_server(("127.0.0.1", free)):
        pass  # looking has left it free


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0, "ok", "as that of station cloud"),
        (30, "warning", "30 s behind station cloud"),
        (-3600, "problem", "3600 s ahead of station cloud"),
    ],
)
def test_f3_the_clock_is_compared_with_the_date_a_station_gives(tmp_path, ahead, level, words):
    def handle(request):
        request.send_response_only(401)
        request.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
        request.end_headers()

    with answering(handle) as url:
        station = f'stations:\n  cloud: {{type: dicomweb, url: "{url}", send: true}}\n'
        told = found(examine_network.examine_clock(plan_with(tmp_path, station)))
    assert told["clock"][0] == level
    # The Date is cut to a second.
    shown = [
        words,
        words.replace("30", "31"),
        words.replace("3600", "3601"),
        words.replace("3600", "3599"),
        words.replace("30", "29"),
    ]
    assert told["clock"][1] in shown


def test_f3_where_nobody_tells_the_time_that_is_said(tmp_path):
    (level, message, fix) = found(examine_network.examine_clock(plan_with(tmp_path)))["clock"]
    assert (level, "there is none" in message, "timedatectl" in fix) == ("warning", True, True)


WEB = 'listeners:\n  web: {{type: http, bind: "127.0.0.1:{port}", serve: [cache]}}\n'
NAME = "OMEGAAILINK-42-St--Jos-.example.org"


@pytest.mark.parametrize(
    ("address", "level"), [("127.0.0.1", "ok"), ("192.0.2.77", "problem"), (None, "warning")]
)
def test_f79_the_caches_name_must_lead_here_and_the_hosts_line_is_exact(
    tmp_path, monkeypatch, address, level
):
    plan = plan_with(tmp_path, WEB.format(port=free_port()))
    monkeypatch.setattr(examine_network, "addresses_of", lambda name: (address,) if address else ())
    told = found(examine_network.examine_cache_host(plan, "example.org"))
    assert told["cache host"][0] == level
    assert NAME in told["cache host"][1]
    if level != "ok":
        assert told["cache host"][2] == f"in DNS or the viewers' hosts file: 127.0.0.1 {NAME}"


def test_f79_without_link_id_the_name_cannot_be_made_and_without_cache_nobody_asks(tmp_path):
    router = "router: {name: edge, ae_title: EDGE, data_dir: data}\n"
    plan = plan_with(tmp_path, WEB.format(port=free_port()), router)
    assert found(examine_network.examine_cache_host(plan, "x"))["cache host"][0] == "warning"
    assert list(examine_network.examine_cache_host(plan_with(tmp_path), "x")) == []


def test_certificates_near_their_end_and_past_it_are_told(tmp_path):
    certificate, key = self_signed(["edge.example"], 40)
    tls = tmp_path / "tls"
    tls.mkdir()
    for name, content in (("a.pem", certificate), ("a.key", key), ("ca.pem", b"nothing")):
        (tls / name).write_bytes(content)
        (tls / name).chmod(0o600)
    plan = plan_with(tmp_path, "tls:\n  a: {cert: tls/a.pem, key: tls/a.key, ca: tls/ca.pem}\n")
    now = time.time()
    levels = [
        found(examine_certificates(plan, now + days * 86_400))["certificate a"][0]
        for days in (0, 15, 41)
    ]
    assert levels == ["ok", "warning", "problem"]
    assert found(examine_certificates(plan, now))["authority a"][0] == "problem"


@pytest.mark.parametrize(
    ("mode", "level"), [(0o600, "ok"), (0o400, "ok"), (0o640, "warning"), (0o644, "problem")]
)
def test_keys_and_secrets_are_for_the_router_alone(tmp_path, mode, level):
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(mode)
    text = """\
stations:
  cloud: {type: dicomweb, url: "https://c.example", auth: {type: bearer, token: {file: s}}}
webhooks:
  w: {url: "https://h.example/x", secret: {file: s}}
"""
    plan = plan_with(tmp_path, text)
    told = found(examine_keys(plan, {}))
    assert told["secret stations.cloud.token"][0] == level
    assert told["secret webhooks.w.secret"][0] == level
    if level != "ok":
        assert told["secret webhooks.w.secret"][2] == f"chmod 600 {tmp_path.resolve() / 's'}"
    (tmp_path / "s").unlink()
    assert found(examine_keys(plan, {}))["secret webhooks.w.secret"][0] == "problem"


def test_the_key_ring_counts_as_a_key(tmp_path):
    plan = plan_with(tmp_path)
    ring = plan.router.data_dir / "keys"
    ring.mkdir(parents=True)
    (ring / "keyring.json").write_text("{}")
    (ring / "keyring.json").chmod(0o644)
    level, message, fix = found(examine_keys(plan, {}))["key ring keyring.json"]
    assert (level, fix) == ("problem", f"chmod 600 {ring / 'keyring.json'}")
    assert "mode 0644" in message


def test_who_is_believed_by_a_title_alone_is_named(tmp_path):
    text = f"""\
listeners:
  lan: {{type: dimse, bind: "127.0.0.1:{free_port()}", accept: any}}
stations:
  cart: {{ae_title: CART}}
  ct-1: {{ae_title: CT1, host: 10.0.0.1}}
  off: {{ae_title: OFF, active: false}}
"""
    told = found(examine_callers(plan_with(tmp_path, text)))
    assert set(told) == {"station cart", "listener lan"}
    assert "unauthenticated" in told["station cart"][1]
    assert list(examine_callers(plan_of(tmp_path / "closed"))) == []


def test_findings_are_counted_and_shown_with_their_fix_below():
    findings = [ok("cores", "8"), warning("disk", "small", "buy one"), problem("key", "open", "x")]
    assert has_problems(findings)
    assert not has_problems(findings[:2])
    told = findings_json(findings)
    assert (told["ok"], told["warnings"], told["problems"]) == (1, 1, 1)
    assert told["findings"][1] == {
        "check": "disk", "level": "warning", "message": "small", "fix": "buy one"
    }  # fmt: skip
    lines = findings_text(findings).splitlines()
    assert lines[0] == "ok       cores  8"
    assert lines[2].strip() == "= buy one"
    assert lines[-1] == "1 ok, 1 warnings, 1 problems"


@pytest.mark.skipif(os.geteuid() != 0, reason="LOUD: needs root, to become somebody else")
def test_whoever_may_not_look_hears_so_instead_of_a_traceback(tmp_path):
    # The folder of the test is itself not for others to see.
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o755)
        told = told_to_somebody_else(
            plan_with(tmp_path, "", SITE.replace("data,", f"{public}/data,"))
        )
    levels = {one["check"]: one["level"] for one in told["findings"]}
    assert levels["listeners"] == "warning"
    assert levels["data directory"] == levels["sync"] == "problem"
    fixes = {one["fix"] for one in told["findings"] if one["check"] in {"listeners", "sync"}}
    assert fixes == {"run this as the router's user"}


def told_to_somebody_else(plan):
    (plan.router.data_dir / "keys").mkdir(parents=True, mode=0o700)
    (plan.router.data_dir / "LOCK").touch()
    plan.router.data_dir.chmod(0o700)
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            os.write(into, json.dumps(findings_json(examine(plan))).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        told = json.loads(answer.read())
    os.waitpid(pid, 0)
    return told
