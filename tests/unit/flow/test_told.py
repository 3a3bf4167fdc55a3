"""What commands and API print alike: stations, tasks, the balance, from a real ledger."""

from __future__ import annotations

import json

import pytest

from router.flow.told import (
    account_json,
    described_stations,
    station_states,
    task_detail_json,
    task_json,
)
from router.model.station import Station
from tests.support.store_making import indexed, open_store, owed


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path)
    yield made
    made.close()


def test_f48_a_station_nobody_looked_at_is_unknown_and_one_that_is_gone_is_told_while_owed(store):
    store.ledger.index([indexed(1, owed("gone")), indexed(2, owed("pacs"))])
    store.ledger.set_station_status("pacs", "offline", "refused", 1_700_000_000.0)
    store.ledger.note_probe("pacs", 0.25, "A-ASSOCIATE-RJ", 1_700_000_060.0)
    told = {one["name"]: one for one in station_states(store.ledger, ["pacs", "ct-1"])}
    assert list(told) == ["ct-1", "gone", "pacs"]
    assert (told["ct-1"]["status"], told["ct-1"]["since"], told["ct-1"]["queued"]) == (
        "unknown",
        None,
        0,
    )
    assert (told["gone"]["status"], told["gone"]["queued"]) == ("unknown", 1)
    assert told["pacs"] == {
        "name": "pacs", "status": "offline", "since": "2023-11-14T22:13:20Z", "reason": "refused",
        "queued": 1, "checked": "2023-11-14T22:14:20Z", "seconds": 0.25, "answer": "A-ASSOCIATE-RJ",
    }  # fmt: skip
    assert station_states(None, ["pacs"])[0]["status"] == "unknown"
    json.dumps(list(told.values()))


def test_the_balance_has_the_words_of_the_contract(store):
    store.ledger.index([indexed(1, owed("pacs"), owed("away")), indexed(2)])
    told = account_json(store.ledger.account())
    for name in ("received", "delivered", "queued", "sending", "held", "dead", "unmatched", "discarded",
                 "quarantined", "balanced"):  # fmt: skip
        assert name in told
    assert (told["received"], told["queued"], told["balanced"]) == (2, 2, True)
    assert set(told["stations"]) == {"pacs", "away"} and told["differences"] == []
    json.dumps(told)


def test_a_task_is_told_with_times_that_people_read_and_its_log(store):
    store.ledger.index([indexed(1, owed("pacs"))])
    (task,) = store.ledger.tasks()
    told = task_json(task)
    assert told["created_at"].endswith("Z") and told["ended_at"] is None
    detail = task_detail_json(store.ledger, task)
    assert detail["task"] == told
    assert [one["state"] for one in detail["deliveries"]] == ["queued"]
    assert detail["deliveries"][0]["priority"] == "medium"
    assert detail["events"][0]["kind"] == "created" and detail["events"][0]["at"].endswith("Z")
    json.dumps(detail)


class Planned:
    def __init__(self, *stations):
        self.stations = {one.name: one for one in stations}


def test_a_station_is_described_as_it_is_configured(store):
    plan = Planned(
        Station("pacs", "dicom", ae_title="PACS", host="10.0.0.1", port=104, send=True),
        Station("ct-1", "dicom", ae_title="CT1", host="10.0.0.2"),
    )
    store.ledger.index([indexed(1, owed("gone"))])
    told = {one["name"]: one for one in described_stations(plan, store.ledger)}
    assert told["pacs"]["address"] == "10.0.0.1:104" and told["pacs"]["send"] is True
    assert told["ct-1"]["address"] == "10.0.0.2" and told["ct-1"]["written_in"] is None
    assert told["gone"]["kind"] is None and told["gone"]["queued"] == 1
