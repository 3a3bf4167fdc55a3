"""The configuration changes while the router runs: nothing is dropped, nothing is a mixture."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pydicom
import pytest

from router.dimse.handlers import StoreAnswer, StoreRequest
from router.serve.places import Places
from router.serve.reload_state import ReloadState, ask, read_state
from tests.support.dimse_provider import Sink, running
from tests.support.load import renumbered, template
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.sender import Sender
from tests.support.storescp import StoreScp

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
  admin: {type: http, bind: "127.0.0.1:$http_port", serve: [metrics]}
defaults:
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs:
    ae_title: DEST
    host: 127.0.0.1
    port: $destination
    send: true
    morph: {send: [{set: {StationName: $institution}}]}
rules:
  - {name: to the archive, morph: [{set: {InstitutionName: $institution}}], route: [pacs]}
"""
ITEM = template(5, modality="MR", rows=32, columns=32)
OTHER_STUDY = template(6, modality="MR", rows=32, columns=32)
CONTEXTS = [(ITEM.sop_class_uid, [ITEM.transfer_syntax_uid])]
_numbers = itertools.count(1)


class Site:
    """A running router and its folder."""

    def __init__(self, edge: Router, destination: int) -> None:
        self.edge = edge
        self.destination = destination
        self.http_port = free_port()
        self.write("First")
        edge.start()

    def write(self, institution: str, **changes: object) -> None:
        values: dict[str, object] = {"destination": self.destination, "http_port": self.http_port}
        self.edge.write(SITE, **{**values, "institution": institution, **changes})

    def apply(self) -> tuple[int, dict[str, object]]:
        code, output, errors = self.edge.command("apply", "--format", "json")
        return code, json.loads(output) if output else {"problems": errors}

    def reload(self) -> str:
        """Ask as `apply` does, and wait for the answer to this request and no other."""
        places = Places(self.edge.data_dir)
        request = ask(places)

        def told() -> ReloadState | None:
            state = read_state(places)
            return state if state is not None and state.request == request else None

        wait_until(lambda: told() is not None, 30, what="an answer")
        state = told()
        assert state is not None
        return state.state

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        try:
            with urllib.request.urlopen(url) as answer:
                lines = answer.read().decode().splitlines()
        except ConnectionResetError:  # whoever answered is being replaced: ask again, as a scraper
            return math.nan
        return float(
            next(one for one in lines if one.startswith(f"dicom_router_{name} ")).split()[1]
        )


@pytest.fixture
def site(
    router: Callable[..., Router], storescp: Callable[..., StoreScp]
) -> Callable[..., tuple[Site, StoreScp]]:
    def make() -> tuple[Site, StoreScp]:
        destination = storescp()
        edge = router(SITE, start=False, destination=0, http_port=0, institution="First")
        return Site(edge, destination.port), destination

    return make


def store(sender: Sender) -> str:
    uid, data_set = renumbered(ITEM, next(_numbers))
    assert sender.store(ITEM.sop_class_uid, uid, ITEM.transfer_syntax_uid, data_set) == 0
    return uid


def institutions(destination: StoreScp) -> Counter[str]:
    """What each object was given; what rule and station gave it must be of one plan."""
    found: Counter[str] = Counter()
    for path in destination.files():
        shown = pydicom.dcmread(path, stop_before_pixels=True)
        assert shown.InstitutionName == shown.StationName, "decided by a mixture of two plans"
        found[shown.InstitutionName] += 1
    return found


@pytest.mark.peers
def test_a_change_takes_effect_and_associations_keep_the_plan_they_began_with(site) -> None:
    here, destination = site()
    with Sender(here.edge.port, CONTEXTS) as began_before:
        store(began_before)
        here.write("Second")
        code, told = here.apply()
        assert (code, told["state"] in {"applied", "unchanged"}) == (0, True)
        store(began_before)
        with Sender(here.edge.port, CONTEXTS) as began_after:
            store(began_after)
        store(began_before)
    here.edge.wait_until_drained(30)
    assert institutions(destination) == {"First": 3, "Second": 1}
    assert here.metric("config_last_reload_successful") == 1


@pytest.mark.peers
def test_a_broken_folder_changes_nothing_and_is_told_everywhere(site) -> None:
    here, destination = site()
    path = here.edge.folder / "site.yaml"
    good = path.read_text()
    path.write_text(good.replace("InstitutionName", "InstitutonName"))
    wait_until(lambda: here.metric("config_last_reload_successful") == 0, 15, what="it is refused")
    code, told = here.apply()
    assert code == 1
    assert "did you mean 'InstitutionName'" in str(told["problems"])
    with Sender(here.edge.port, CONTEXTS) as sender:
        store(sender)
    wait_until(lambda: destination.count() == 1, 20, what="it is there")
    assert institutions(destination) == {"First": 1}
    path.write_text(good.replace("First", "Third"))
    wait_until(lambda: here.metric("config_last_reload_successful") == 1, 15, what="it is taken")
    path.touch()
    with Sender(here.edge.port, CONTEXTS) as sender:
        store(sender)
    here.edge.wait_until_drained(30)
    assert institutions(destination)["Third"] == 1


@pytest.mark.peers
def test_a_change_that_is_taken_back_is_refused_no_longer(site) -> None:
    here, _ = site()
    path = here.edge.folder / "site.yaml"
    good = path.read_text()
    path.write_text(good.replace("InstitutionName", "InstitutonName"))
    wait_until(lambda: here.metric("config_last_reload_successful") == 0, 15, what="it is refused")
    path.write_text(good)
    wait_until(lambda: here.metric("config_last_reload_successful") == 1, 15, what="it is mended")


@pytest.mark.peers
def test_a_new_file_that_cannot_be_read_is_a_change_and_refused(site) -> None:
    here, _ = site()
    latin = here.edge.folder / "latin.yaml"
    latin.write_bytes("rules: [] # Größe\n".encode("latin-1"))
    here.edge.process.signal(signal.SIGHUP)
    state = here.edge.data_dir / "run" / "reload.json"
    wait_until(
        lambda: state.exists() and "latin.yaml" in json.loads(state.read_text())["problems"],
        15,
        what="it is named",
    )
    assert json.loads(state.read_text())["state"] == "refused"
    latin.unlink()
    wait_until(lambda: here.metric("config_last_reload_successful") == 1, 15, what="it is gone")


@pytest.mark.peers
def test_a_listener_moves_between_all_addresses_and_one_on_its_port(site) -> None:
    here, _ = site()
    path = here.edge.folder / "site.yaml"
    port = here.edge.port
    for before, after in (("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")):
        with Sender(port, CONTEXTS) as straddling:
            store(straddling)
            text = path.read_text()
            path.write_text(text.replace(f"{before}:{port}", f"{after}:{port}"))
            code, told = here.apply()
            assert code == 0, told
            store(straddling)
        with Sender(port, CONTEXTS) as sender:
            store(sender)
        assert listening_on(here.edge, port) == {after}
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))


def listening_on(edge: Router, port: int) -> set[str]:
    """The addresses on which the processes of a router listen at a port."""
    every = [psutil.Process(edge.process.pid), *processes(edge)]
    found = []
    for process in every:
        with suppress(psutil.NoSuchProcess):  # one that retires ends when its work is done
            found += process.net_connections("tcp")
    return {one.laddr.ip for one in found if one.status == "LISTEN" and one.laddr.port == port}


@pytest.mark.peers
def test_f6_addresses_that_stay_keep_their_socket_and_a_taken_port_is_refused(site) -> None:
    here, _ = site()
    here.write("Second", http_port=(moved := free_port()))
    assert here.apply()[0] == 0
    here.http_port = moved
    assert here.metric("config_last_reload_successful") == 1
    path = here.edge.folder / "site.yaml"
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        more = f'extra: {{type: dimse, bind: "127.0.0.1:{port}", accept: known_stations}}'
        path.write_text(path.read_text().replace("  lan: ", f"  {more}\n  lan: ", 1))
        code, told = here.apply()
    assert code == 1
    assert "cannot listen" in str(told["problems"])
    with Sender(here.edge.port, CONTEXTS) as sender:
        store(sender)
    path.write_text(path.read_text().replace(f"  {more}\n", ""))


def test_the_data_directory_of_a_running_router_cannot_change(router) -> None:
    edge = router(destination=free_port())
    path = edge.folder / "site.yaml"
    path.write_text(path.read_text().replace(str(edge.data_dir), str(edge.data_dir) + "-2"))
    edge.process.signal(signal.SIGHUP)
    state = edge.data_dir / "run" / "reload.json"
    wait_until(
        lambda: state.exists() and json.loads(state.read_text())["state"] == "refused",
        15,
        what="refused",
    )
    assert "restart it" in json.loads(state.read_text())["problems"]
    path.write_text(path.read_text().replace(str(edge.data_dir) + "-2", str(edge.data_dir)))


def test_a_bomb_ends_in_a_message_and_harms_nobody(router) -> None:
    edge = router(destination=free_port())
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    (edge.folder / "bomb.yaml").write_text(bomb)
    state = edge.data_dir / "run" / "reload.json"
    wait_until(
        lambda: state.exists() and json.loads(state.read_text())["state"] == "refused",
        20,
        what="refused",
    )
    (edge.folder / "bomb.yaml").unlink()
    with Sender(edge.port, CONTEXTS) as sender:
        store(sender)


def processes(edge: Router) -> list[psutil.Process]:
    return psutil.Process(edge.process.pid).children(recursive=True)


@pytest.mark.peers
@pytest.mark.parametrize("reloads", [15, pytest.param(1000, marks=pytest.mark.long)])
def test_f82_reloads_under_load_drop_nothing_and_nothing_grows(site, reloads: int) -> None:
    here, destination = site()
    sent: set[str] = set()
    enough = threading.Event()

    failures: list[BaseException] = []

    def scanner() -> None:
        try:
            while not enough.is_set():
                with Sender(here.edge.port, CONTEXTS) as sender:
                    for _ in range(10):
                        sent.add(store(sender))
        except BaseException as error:
            failures.append(error)
            raise

    supervisor = psutil.Process(here.edge.process.pid)
    thread = threading.Thread(target=scanner)
    thread.start()
    try:
        before = None
        for number in range(reloads):
            if number % 5 == 4:
                here.edge.write("version: 1\nrulez: []\n", name="broken.yaml")
                assert here.reload() == "refused"
                (here.edge.folder / "broken.yaml").unlink()
            here.write(f"Change {number}")
            assert here.reload() in {"applied", "unchanged"}
            if number == reloads // 2:
                before = (supervisor.num_fds(), supervisor.memory_info().rss)
    finally:
        enough.set()
        thread.join(30)
    assert failures == []
    here.edge.wait_until_drained(60)
    assert before is not None
    assert supervisor.num_fds() <= before[0]
    assert supervisor.memory_info().rss < before[1] + 20e6
    wait_until(lambda: len(processes(here.edge)) == 4, 20, what="those before have retired")
    assert supervisor.num_threads() == 1
    assert set(destination.received_uids()) == sent
    assert len(institutions(destination)) > reloads // 10
    assert here.edge.deliveries()["delivered"] == len(sent)


def slow(taken: list[str], may_go_on: threading.Event) -> Sink:
    """A destination that takes one object and keeps the next waiting until it is told."""

    def fault(request: StoreRequest, chunks: Iterator[memoryview]) -> StoreAnswer:
        for _ in chunks:
            pass
        if taken:
            may_go_on.wait(60)
        taken.append(request.sop_instance_uid)
        return StoreAnswer(0)

    return Sink(fault=fault)


def test_what_is_being_sent_is_finished_and_not_sent_twice(router: Callable[..., Router]) -> None:
    taken: list[str] = []
    may_go_on = threading.Event()
    with running(slow(taken, may_go_on)) as destination:
        edge = router(SITE, start=False, destination=0, http_port=0, institution="First")
        here = Site(edge, destination.port)
        with Sender(edge.port, CONTEXTS) as sender:
            uids = [store(sender) for _ in range(8)]
        wait_until(lambda: len(taken) >= 1, 20, what="the first is there")
        here.write("Second")
        assert here.apply()[0] == 0
        assert len(taken) < len(uids), "the change came while they were sent"
        may_go_on.set()
        edge.wait_until_drained(60)
    assert Counter(taken) == Counter(uids)


def test_p7_a_study_that_straddles_a_change_arrives_in_the_order_it_came(
    router: Callable[..., Router],
) -> None:
    arrived: list[str] = []
    second_is_held, may_go_on = threading.Event(), threading.Event()

    def fault(request: StoreRequest, chunks: Iterator[memoryview]) -> StoreAnswer:
        for _ in chunks:
            pass
        if len(arrived) == 1 and not second_is_held.is_set():
            second_is_held.set()
            may_go_on.wait(60)
        arrived.append(request.sop_instance_uid)
        return StoreAnswer(0)

    with running(Sink(fault=fault)) as destination:
        edge = router(SITE, start=False, destination=0, http_port=0, institution="First")
        here = Site(edge, destination.port)
        with Sender(edge.port, CONTEXTS) as sender:
            uids = [store(sender) for _ in range(8)]
            assert second_is_held.wait(20)
            here.write("Second")
            assert here.apply()[0] == 0
            uids += [store(sender) for _ in range(8)]
            beside, data_set = renumbered(OTHER_STUDY, 1)
            with Sender(edge.port, CONTEXTS) as another:
                answer = another.store(
                    ITEM.sop_class_uid, beside, ITEM.transfer_syntax_uid, data_set
                )
            assert answer == 0
            wait_until(lambda: beside in arrived, 20, what="another study passes")
        assert arrived == [uids[0], beside], "the study waits for what the retiring process sends"
        may_go_on.set()
        edge.wait_until_drained(60)
    assert [uid for uid in arrived if uid != beside] == uids


def test_a_retired_process_that_is_killed_leaves_no_lease_behind(site) -> None:
    here, destination = site()
    destination.kill()
    held = Sender(here.edge.port, CONTEXTS)
    with Sender(here.edge.port, CONTEXTS) as sender:
        uid = store(sender)
    before = {one.pid for one in processes(here.edge)}
    here.write("Second")
    assert here.apply()[0] == 0
    for one in processes(here.edge):
        if one.pid in before:
            os.kill(one.pid, signal.SIGKILL)
    held.close()
    destination.start()
    here.edge.wait_until_drained(60)
    assert set(destination.received_uids()) == {uid}
