"""What a role does with the key ring: it follows rotations, wraps anew in the background, says how far."""

from __future__ import annotations

import io
import json
import threading
from types import SimpleNamespace

import pytest

from router.clock import Clock
from router.flow.cache_told import keys_json
from router.serve import rekeying as module
from router.serve.places import Places
from router.serve.rekeying import progress, publish, start_rekeying
from router.serve.stores import follow_ring
from router.store.audit import AuditTrail
from router.store.keys import KeyRing
from router.store.rekeying import Rekeyed
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from router.threads import Threads
from tests.support.inside import plan_of
from tests.support.process import wait_until
from tests.support.store_making import open_store, owed


@pytest.fixture
def role(tmp_path):
    """As much of a role as a thread of it sees."""
    text = io.StringIO()
    log = open_log(text, "json", {})
    folder = tmp_path / "site"
    plan = plan_of(folder, "stations: {}\nrules: []\n")
    places = Places(plan.router.data_dir)
    places.run.mkdir(parents=True)
    threads = Threads(lambda name, error: log.bug(name, error))
    made = SimpleNamespace(
        name="deliver", plan=plan, places=places, clock=Clock(), log=log, text=text,
        metrics=Metrics(), threads=threads, refresh=[], notices=SimpleNamespace(retiring=False),
    )  # fmt: skip
    yield made
    threads.stop.set()
    assert not threads.crashed.is_set()


def test_a_role_follows_the_ring_and_tells_once_what_is_wrong_with_it(role):
    ring, other = KeyRing.open(role.places.keys), KeyRing.open(role.places.keys)
    follow_ring(role, ring)
    (look,) = role.refresh
    before = ring.primary.key_id
    made = other.rotate()
    assert ring.primary.key_id == before
    look()
    assert ring.primary.key_id == made.key_id
    path = role.places.keys / "keyring.json"
    kept = path.read_bytes()
    path.write_text("{}")
    for _ in range(3):
        look()
    assert role.text.getvalue().count("the key ring cannot be read") == 1
    assert ring.primary.key_id == made.key_id, "it goes on with what it has"
    path.write_bytes(kept)
    look()
    path.unlink()
    look()
    assert role.text.getvalue().count("the key ring cannot be read") == 2


def test_r236_the_background_wraps_anew_drops_the_key_and_tells(role, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    store = open_store(role.places.data_dir, clock=role.clock)
    entries = [store.keep(n, b"x" * 5000, owed()) for n in range(5)]
    old = store.keys.ring.keys[store.keys.ring.primary]
    end = start_rekeying(role, store.journal)
    assert progress(role.places) is None
    store.keys.rotate()
    wait_until(lambda: not KeyRing.open(role.places.keys).old(), 10)
    wait_until(lambda: (progress(role.places) or {}).get("retired") == [old.name], 10)
    told = progress(role.places)
    assert (told["records"], told["kept"]) == (5, {})
    wait_until(lambda: "keys wrapped anew" in role.text.getvalue(), 10)
    assert 'keys_rewrapped_total{where="records"} 5.0' in role.metrics.text().decode()
    trail = AuditTrail.open(role.places.ledger, role.places.keys)
    wait_until(lambda: trail.page(5), 10)
    assert [(row.event, row.what) for row in trail.page(5)] == [
        ("keys_changed", f"key {old.name} dropped")
    ]
    trail.close()
    assert [store.read(entry.ref) for entry in entries] == [b"x" * 5000] * 5
    role.threads.stop.set()
    end()
    store.close()


def test_a_role_that_retires_leaves_it_to_its_successor(role, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    store = open_store(role.places.data_dir, clock=role.clock)
    role.notices.retiring = True
    end = start_rekeying(role, store.journal)
    store.keys.rotate()
    end()
    assert threading.active_count() >= 1 and len(store.keys.old()) == 1
    store.close()


def test_how_far_it_is_holds_no_secret_and_survives_rubbish(role):
    ring = KeyRing.open(role.places.keys, 5.0)
    ring.rotate(9.0)
    publish(role.places, Rekeyed(4, 2, 7, 1, 0, ["a"], {"b": "why"}), 100.0)
    told = keys_json(ring.ring, progress(role.places))
    assert [(one["state"], one["made"]) for one in told["keys"]] == [
        ("primary", "1970-01-01T00:00:09Z"), ("old", "1970-01-01T00:00:05Z"),
    ]  # fmt: skip
    assert (told["rekeying"]["segments_done"], told["rekeying"]["kept"]) == (2, {"b": "why"})
    for key in ring.ring.keys.values():
        assert key.secret.hex() not in json.dumps(told) and key.key_id.hex() not in json.dumps(told)
    role.places.rekeying.write_text("{")
    assert progress(role.places) is None
    assert keys_json(ring.ring, None)["rekeying"] is None
