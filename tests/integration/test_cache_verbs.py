"""`keys` and `cache` without a router: rings made, rotated, exported and restored; records let go of."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from router.clock import Clock
from router.model.delivery import Result, State
from router.store.layout import HEAD_BYTES
from router.store.segment import segment_path
from tests.support.router_process import Router
from tests.support.store_making import Store, open_store, owed, settled

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  admin: {type: http, bind: "127.0.0.1:18080", serve: [api]}
stations:
  cloud:
    type: dicomweb
    url: https://cloud.example/dicom-web
    query_retrieve: true
rules: []
"""
PASSPHRASE = "correct horse battery staple"


class Edge(Router):
    """A router that does not run, with what its journal holds."""

    def told(self, *words: str, code: int = 0) -> Any:
        found, output, errors = self.command(*words, "--format", "json")
        assert found == code, errors + output
        return json.loads(output)

    def refused(self, *words: str, code: int = 1) -> str:
        found, output, errors = self.command(*words)
        assert found == code, errors + output
        return errors

    def store(self) -> Store:
        return open_store(self.data_dir, clock=Clock(), segment_bytes=150_000)

    def keys(self) -> list[dict[str, Any]]:
        return list(self.told("keys", "list")["keys"])


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    made = Edge(tmp_path, SITE)
    made.data_dir.mkdir(exist_ok=True)
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    return made


def held(edge: Edge, count: int = 6) -> dict[str, bytes]:
    """Studies 1.0 to 1.2 from ct-1, delivered; the data set by SOP Instance UID."""
    store = edge.store()
    found = {}
    for number in range(count):
        data = os.urandom(60_000)
        entry = store.keep(number, data, owed(), study=f"1.{number % 3}")
        found[entry.instance.sop_instance_uid] = data
    for leased in store.ledger.turn((), {"pacs": 99}, store.clock.now()):
        store.ledger.turn([settled(leased, Result.DELIVERED, State.DELIVERED)], {}, 0.0)
    store.close()
    return found


def readable(edge: Edge) -> dict[str, bytes]:
    store = edge.store()
    found = {
        one.instance.sop_instance_uid: store.read(one.record)
        for study in ("1.0", "1.1", "1.2")
        for one in store.ledger.instances_of_study(study)
        if one.record is not None
    }
    store.close()
    return found


def test_r236_keys_are_made_exported_rotated_lost_and_restored(edge: Edge, tmp_path: Path) -> None:
    given = ("--passphrase-file", str(tmp_path / "passphrase"))
    assert "no key ring yet" in edge.refused("keys", "list")
    first = edge.told("keys", "new")["key"]
    assert "a key ring already" in edge.refused("keys", "new")
    assert [(one["key"], one["state"], one["exported"]) for one in edge.keys()] == [
        (first, "primary", None)
    ]
    assert "in no escrow copy" in edge.command("keys", "list")[2]
    before = held(edge)
    copy = tmp_path / "escrow.json"
    errors = edge.refused("keys", "export", str(copy), code=64)
    assert "no terminal to ask at: give --passphrase-file FILE" in errors
    assert edge.told("keys", "export", str(copy), *given)["keys"] == 1
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "File exists" in edge.refused("keys", "export", str(copy), *given)
    assert edge.keys()[0]["exported"] is not None
    ring = edge.data_dir / "keys" / "keyring.json"
    secrets = json.loads(ring.read_text())["keys"].values()
    assert not any(secret in copy.read_text() for secret in secrets)
    second = edge.told("keys", "rotate")["key"]
    assert [one["state"] for one in edge.keys()] == ["primary", "old"]
    # The ring is lost: nothing opens, and every record is told of.
    lost = ring.read_bytes()
    ring.write_text("{}")
    assert "keys import" in edge.refused("cache", "verify")
    assert edge.told("keys", "import", str(copy), *given)["added"] == 1
    assert [one["key"] for one in edge.keys()] == [first], "the copy is older than the rotation"
    (aside,) = (edge.data_dir / "keys").glob("keyring.damaged-*")
    assert aside.read_text() == "{}"
    assert readable(edge) == before
    assert edge.command("cache", "verify")[0] == 0
    ring.write_bytes(lost)
    assert edge.told("keys", "import", str(copy), *given)["added"] == 0
    assert edge.keys()[0]["key"] == second
    (tmp_path / "passphrase").write_text("another passphrase")
    assert "passphrase" in edge.refused("keys", "import", str(copy), *given)
    (tmp_path / "passphrase").write_text("short")
    errors = edge.refused("keys", "export", str(tmp_path / "x"), *given, code=64)
    assert "12 characters" in errors and not (tmp_path / "x").exists()
    (tmp_path / "junk").write_text("junk")
    assert "no escrow copy" in edge.refused("keys", "import", str(tmp_path / "junk"), *given)
    events = edge.told("audit", "list", "--event", "keys_changed")["entries"]
    told = " ".join(one["what"] for one in events)
    for words in (f"key {first} made", "1 keys exported", f"key {second} is", "1 keys imported"):
        assert words in told


def test_the_mapping_key_goes_with_the_ring(edge: Edge, tmp_path: Path) -> None:
    given = ("--passphrase-file", str(tmp_path / "passphrase"))
    edge.told("keys", "new")
    mapping = edge.data_dir / "keys" / "mapping.key"
    mapping.write_bytes(b"m" * 32)
    copy = tmp_path / "escrow.json"
    edge.told("keys", "export", str(copy), *given)
    assert base64.b64encode(b"m" * 32).decode() not in copy.read_text()
    mapping.write_bytes(b"n" * 32)
    assert edge.told("keys", "import", str(copy), *given)["mapping_key"] is False
    assert mapping.read_bytes() == b"n" * 32, "one that is there stays"
    mapping.unlink()
    assert edge.told("keys", "import", str(copy), *given)["mapping_key"] is True
    assert mapping.read_bytes() == b"m" * 32
    assert mapping.stat().st_mode & 0o777 == 0o600


def test_r236_rekey_wraps_anew_and_drops_the_old_key(edge: Edge) -> None:
    before = held(edge)
    assert edge.told("cache", "rekey") == {
        "segments": 0, "segments_done": 0, "records": 0, "rows": 0, "damaged": 0,
        "retired": [], "kept": {}, "old_keys": 0,
    }  # fmt: skip
    (old,) = (one["key"] for one in edge.keys())
    code, output, errors = edge.command("keys", "rotate")
    assert code == 0 and "dicom-router cache rekey" in output and "escrow" in errors
    writer = edge.store()  # a process that does not look again holds the old key
    held_key = writer.keys.primary
    edge.told("keys", "rotate")
    code, _, errors = edge.command("cache", "rekey")
    assert code == 2 and "still writes what it wrapped" in errors
    assert readable(edge) == before
    writer.close()
    del held_key
    assert edge.told("cache", "rekey")["old_keys"] == 0
    assert [one["state"] for one in edge.keys()] == ["primary"]
    assert old not in [one["key"] for one in edge.keys()]
    assert readable(edge) == before
    told = edge.told("audit", "list", "--event", "keys_changed")["entries"]
    assert f"key {old} dropped" in [one["what"] for one in told]
    assert edge.told("audit", "verify")["faults"] == []


def test_verify_names_what_does_not_open_and_whether_it_is_needed(edge: Edge) -> None:
    assert "no ledger" in edge.refused("cache", "verify")
    held(edge)
    assert edge.told("cache", "verify") == {
        "records": 6, "data_set_bytes": 360_000, "damaged": 0, "is_whole": True,
        "records_that_do_not_open": [],
    }  # fmt: skip
    store = edge.store()
    first, second = (store.ledger.instance(number) for number in (1, 2))
    store.ledger.send([2], owed("away", rule="send:ana"), store.clock.now())
    store.close()
    for one in (first, second):
        path = segment_path(edge.data_dir / "journal", one.record.segment)
        with path.open("r+b") as file:
            file.seek(one.record.offset + HEAD_BYTES + 100)
            file.write(b"\0\1\2\3")
    told = edge.told("cache", "verify", code=1)
    assert told["damaged"] == 2
    assert [(one["instance"], one["state"]) for one in told["records_that_do_not_open"]] == [
        (1, "kept"), (2, "owed"),
    ]  # fmt: skip
    code, output, _ = edge.command("cache", "verify", "--study", "1.0")
    assert code == 1 and first.instance.sop_instance_uid in output and "ct-1" in output
    assert "2 records" in output and "1 do not open" in output
    assert edge.told("cache", "verify", "--study", "1.2")["records"] == 2


def test_evict_says_before_what_it_does_and_keeps_what_is_needed(edge: Edge) -> None:
    before = held(edge)
    store = edge.store()
    store.ledger.send([1], owed("away", rule="send:ana"), store.clock.now())
    store.close()
    words = ("cache", "evict", "--study", "1.0")
    told = edge.told(*words, "--dry-run")
    assert (told["instances"], told["needed"], told["studies"], told["dry_run"]) == (1, 1, 1, True)
    assert readable(edge) == before
    code, output, _ = edge.command(*words)
    assert code == 0 and "1 instances stay" in output and "1 instances of 1 studies" in output
    assert len(readable(edge)) == 5
    assert edge.told(*words)["instances"] == 0
    assert edge.told("cache", "evict", "--older-than", "1h")["instances"] == 0
    assert edge.told("cache", "evict", "--station", "nobody")["instances"] == 0
    told = edge.told("cache", "evict", "--station", "ct-1", "--older-than", "0s")
    assert (told["instances"], told["needed"]) == (4, 1)
    assert told["freed_bytes"] > 100_000
    assert list(readable(edge)) == ["1.2.826.0.1.0"]
    for wrong in (
        (), ("--older-than", "soon"), ("--to-size", "many"), ("--to-size", "1GB", "--study", "1"),
        ("--shred",), ("--shred", "--study", "1.0", "--station", "ct-1"),
    ):  # fmt: skip
        edge.refused("cache", "evict", *wrong, code=64)


def test_evict_to_a_size_lets_the_oldest_go(edge: Edge) -> None:
    held(edge, 9)
    told = edge.told("cache", "evict", "--to-size", "300KB", "--dry-run")
    assert edge.told("cache", "evict", "--to-size", "300KB")["instances"] == told["instances"] > 3
    left = readable(edge)
    assert len(left) == 9 - told["instances"]
    assert "1.2.826.0.1.8" in left and "1.2.826.0.1.0" not in left
    journal = edge.data_dir / "journal"
    assert sum(path.stat().st_size for path in journal.iterdir()) <= 300_000


def test_r237_shred_is_for_good_and_refused_while_something_waits(edge: Edge) -> None:
    before = held(edge)
    store = edge.store()
    task = store.ledger.send([1], owed("away", rule="send:ana"), store.clock.now())
    store.close()
    words = ("cache", "evict", "--study", "1.0", "--shred")
    assert f"tasks cancel {task}" in edge.refused(*words)
    assert readable(edge) == before
    assert edge.command("tasks", "cancel", str(task))[0] == 0
    assert edge.told(*words, "--dry-run")["shredded"] == 2
    assert readable(edge) == before
    code, output, _ = edge.command(*words)
    assert code == 0 and "2 records were shredded" in output
    assert len(readable(edge)) == 4
    (event,) = edge.told("audit", "list", "--event", "deleted")["entries"]
    assert event["what"] == "1.0"
    assert edge.told(*words)["shredded"] == 0
    assert edge.command("cache", "verify")[0] == 0


def test_f84_a_prefetch_waits_for_the_router_and_is_refused_where_it_makes_no_sense(
    edge: Edge,
) -> None:
    code, output, errors = edge.command("cache", "prefetch", "cloud", "1.2", "1.3/1.3.1")
    assert code == 0 and "Ready" in output and "no router is running" in errors
    told = edge.told("cache", "prefetch", "cloud", "1.4", "1.5", "--cap", "1")
    assert [one["state"] for one in told["items"]] == ["ready", "beyond"]
    listed = edge.told("cache", "prefetches")["prefetches"]
    assert [one["prefetch"] for one in listed] == [2, 1]
    assert listed[1]["items"][1]["series_instance_uid"] == "1.3.1"
    assert "cancelled by" in edge.told("cache", "prefetches", "--cancel", "1")["message"]
    assert "is over" in edge.refused("cache", "prefetches", "--cancel", "9")
    assert "no prefetch 9" in edge.refused("cache", "prefetches", "--show", "9")
    code, output, _ = edge.command("cache", "prefetches")
    assert code == 0 and output.count("\n") == 3
    assert "no station" in edge.refused("cache", "prefetch", "nobody", "1.2")
    assert "is no UID" in edge.refused("cache", "prefetch", "cloud", "DOE")
    edge.refused("cache", "prefetch", "cloud", "1/2/3/4", code=64)
    edge.refused("cache", "prefetch", "cloud", "1.2", "--batch", "16", code=64)
