"""`explain --instance` and `--task`: decided then, answered since, decided now; as its user types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledger_view import wait_for
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import Synthetic, instance

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  retry: {first: 1h, factor: 1, max: 1h, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  picky: {ae_title: PICKY, host: 127.0.0.1, port: $picky, send: true}
  full: {ae_title: FULL, host: 127.0.0.1, port: $full, send: true}
rules:
  - {name: to pacs, match: {Modality: CT}, morph: [prefix: {AccessionNumber: A-}], route: [pacs]}
  - {name: to picky, match: {Modality: CT}, route: [picky]}
  - {name: to full, match: {Modality: MR}, route: [full]}
"""
CANNOT_UNDERSTAND = 0xC123
OUT_OF_RESOURCES = 0xA700


class Site:
    """A router that has delivered one object, been refused it elsewhere, and waits with another."""

    def __init__(self, folder: Path) -> None:
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.picky = ScriptedScp(Script(statuses=[CANNOT_UNDERSTAND], comment="wrong picture"))
        self.full = ScriptedScp(Script(statuses=[OUT_OF_RESOURCES], comment="disk full"))
        self.ports = {
            "pacs": self.pacs.port,
            "picky": self.picky.port,
            "full": self.full.port,
        }
        self.edge = Router(folder / "edge", SITE, **self.ports)
        self.edge.start()
        self.ct = instance(1, modality="CT", rows=8, columns=8)
        self.mr = instance(2, modality="MR", rows=8, columns=8)
        scan(self.edge.port, [self.ct, self.mr])
        wait_for(self.edge.data_dir, delivered=1, dead=1)
        wait_for(self.edge.data_dir, station="full", sending=0)
        self.other = folder / "other"
        self.other.mkdir()

    def explain(self, *words: str, config: Path | None = None) -> dict[str, Any]:
        code, output, errors = self.edge.command(
            "explain", "--config", str(config or self.edge.folder), "--format", "json", *words
        )
        assert code == 0, errors
        answer = json.loads(output)
        assert isinstance(answer, dict)
        return answer

    def text(self, *words: str) -> str:
        code, output, errors = self.edge.command("explain", *words)
        assert code == 0, errors
        return output


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("held"))
    yield made
    made.edge.assert_balanced()
    made.edge.kill()
    for peer in (made.pacs, made.picky, made.full):
        peer.close()


def test_an_instance_by_its_uid_with_what_was_decided_and_answered(site: Site) -> None:
    told = site.explain("--instance", site.ct.sop_instance_uid)
    assert told["facts"]["from"] == "ct-1"
    assert told["facts"]["calling_ae_title"] == "CT1"
    assert told["decided"]["rules"] == ["to pacs", "to picky"]
    pacs, picky = sorted(told["deliveries"], key=lambda one: one["station"])
    assert (pacs["state"], pacs["rule"], pacs["attempts"]) == ("delivered", "to pacs", 1)
    assert [(one["before"], one["after"]) for one in pacs["changes"]] == [
        ("A0000001", "A-A0000001")
    ]
    assert (picky["state"], picky["status"]) == ("dead", CANNOT_UNDERSTAND)
    (attempt,) = picky["tries"]
    assert (attempt["outcome"], attempt["status"]) == ("dead", CANNOT_UNDERSTAND)
    assert "wrong picture" in attempt["answer"]
    assert f"tasks retry {picky['task_id']}" in picky["next"]
    assert told["differences"] == []
    assert [rule["matched"] for rule in told["now"]["rules"]] == [True, True, False]
    by_id = site.explain("--instance", str(told["instance_id"]))
    assert by_id == told


def test_the_text_says_the_same_to_people(site: Site) -> None:
    text = site.text("--instance", site.ct.sop_instance_uid)
    assert "from ct-1: CT1 at 127.0.0.1 to EDGE_A" in text
    assert re.search(r"→ pacs +delivered", text)
    assert "0xC123" in text
    assert "AccessionNumber  A0000001 → A-A0000001" in text
    assert "the configuration decides the same now" in text


def test_a_task_that_waits_says_for_what(site: Site) -> None:
    (waiting,) = site.explain("--instance", site.mr.sop_instance_uid)["deliveries"]
    told = site.explain("--task", str(waiting["task_id"]))
    assert told["task"]["station"] == "full"
    assert (told["events"][0]["kind"], told["events"][0]["message"]) == ("created", "to full")
    (one,) = told["instances"]
    (delivery,) = one["deliveries"]
    assert (delivery["state"], delivery["status"]) == ("queued", OUT_OF_RESOURCES)
    assert "disk full" in delivery["tries"][0]["answer"]
    assert delivery["next"].startswith("it waits: the station asked for patience")
    text = site.text("--task", str(waiting["task_id"]))
    assert "0 of 1 delivered" in text
    assert "next: it" in text


def test_what_the_folder_says_now_is_held_against_what_was_decided(site: Site) -> None:
    changed = SITE.replace("A-}", "B-}").replace(
        "Modality: CT}, route: [picky]", "Modality: XA}, route: [full]"
    )
    path = site.edge.write(changed, "../../other/site.yaml", **site.ports)
    told = site.explain("--instance", site.ct.sop_instance_uid, config=path.parent)
    assert told["differences"] == [
        "rules: to pacs, to picky then, to pacs now",
        "pacs: another recipe now",
        "picky: owed then, not now",
    ]
    (pinned,) = [one for one in told["deliveries"] if one["station"] == "pacs"]
    assert pinned["changes"][0]["after"] == "A-A0000001", "what was sent, not what would be now"
    assert told["now"]["deliveries"][0]["changes"][0]["after"] == "B-A0000001"
    unknown = SITE.replace("ct-1: {ae_title: CT1", "ct-1: {ae_title: CT9")
    site.edge.write(unknown, "../../other/site.yaml", **site.ports)
    told = site.explain("--instance", site.ct.sop_instance_uid, config=path.parent)
    assert told["now"] is None
    assert told["differences"] == ["ct-1 would not be admitted now"]


def test_a_uid_that_came_twice_asks_which_is_meant(site: Site) -> None:
    twin = instance(1, modality="CT", rows=8, columns=8, changes={0x00080080: ("LO", "elsewhere")})
    uid = site.ct.sop_instance_uid
    assert isinstance(twin, Synthetic)
    assert twin.sop_instance_uid == uid
    scan(site.edge.port, [twin])
    wait_for(site.edge.data_dir, station="pacs", delivered=2)
    code, output, errors = site.edge.command("explain", "--instance", uid)
    assert (code, output) == (1, "")
    assert "was accepted 2 times; say which by its id" in errors
    first, second = re.findall(r"(?m)^(\d+) ", errors)
    assert site.explain("--instance", first)["instance_id"] == int(first)
    assert site.explain("--instance", second)["instance_id"] == int(second)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--instance", "1.2.3.4"), "no instance with SOP Instance UID 1.2.3.4 was accepted here"),
        (("--instance", "99"), "there is no instance 99"),
        (("--instance", "9" * 64), "there is no instance"),
        (("--task", "99"), "there is no task 99"),
    ],
)
def test_what_is_not_here_is_said(site: Site, words: tuple[str, ...], said: str) -> None:
    code, output, errors = site.edge.command("explain", *words)
    assert (code, output) == (1, "")
    assert said in errors
