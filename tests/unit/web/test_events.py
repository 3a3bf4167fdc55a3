"""The stream of events: what changed and nothing else, for whoever listens, from a real ledger."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
from starlette.requests import ClientDisconnect

from router.clock import Clock
from router.web.access import Identity
from router.web.api import events as module
from router.web.api.events import Events
from tests.support.store_making import indexed, open_store, owed


class Quick(Clock):
    def wait(self, event, timeout_seconds):
        return super().wait(event, min(timeout_seconds, 0.02))


def asked(*organizations):
    """A request of somebody who is limited to these organizations, or not."""
    who = Identity("ana", frozenset({"read"}), 1, organizations)
    return SimpleNamespace(state=SimpleNamespace(identity=who))


PLAN = SimpleNamespace(
    stations={"pacs", "away"},
    stations_of=lambda names: frozenset({"pacs"} if "A" in names else ()),
)


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def events(store):
    made, stop = Events(store.ledger, Quick(), PLAN), threading.Event()
    thread = threading.Thread(target=lambda: made.run(stop), daemon=True)
    thread.start()
    yield made
    stop.set()
    thread.join(5)


def heard(events, act, count, seconds=5.0, organizations=()):
    """The first `count` events after `act`, as (kind, data)."""

    async def listen():
        answer = await events.stream(asked(*organizations))
        assert answer.media_type == "text/event-stream"
        found = []
        async with asyncio.timeout(seconds):
            async for text in answer.body_iterator:
                if text.startswith("retry"):
                    await asyncio.sleep(0.2)  # the first look only learns how things are
                    await asyncio.to_thread(act)
                elif text.startswith("event"):
                    kind, data = text.strip().split("\n")
                    found.append((kind.partition(": ")[2], json.loads(data.partition(": ")[2])))
                if len(found) == count:
                    break
        await answer.body_iterator.aclose()
        return found

    return asyncio.run(listen())


def test_a_station_that_changes_is_told_and_no_other(events, store):
    store.ledger.set_station_status("away", "unknown", "", 1.0)

    def change():
        store.ledger.set_station_status("pacs", "offline", "connection refused", 2.0)

    told = heard(events, change, 1)
    assert told == [
        ("station", {"name": "pacs", "status": "offline", "reason": "connection refused"})
    ]


def test_f64_a_task_is_told_with_its_progress_and_without_its_patient(events, store):
    def arrive():
        store.ledger.index([indexed(1, owed("pacs"))])

    ((kind, task),) = heard(events, arrive, 1)
    assert kind == "task" and (task["station"], task["objects"], task["status"]) == (
        "pacs",
        1,
        "Ready",
    )
    assert not any("patient" in name for name in task)


def test_who_has_gone_is_forgotten_and_so_many_may_listen(events, monkeypatch):
    monkeypatch.setattr(module, "MOST_LISTENERS", 2)

    async def crowd():
        streams = [await events.stream(asked()) for _ in range(3)]
        assert [one.status_code for one in streams] == [200, 200, 503]
        for one in streams[:2]:
            assert (await anext(one.body_iterator)).startswith("retry")
            await one.body_iterator.aclose()
        return (await events.stream(asked())).status_code

    assert asyncio.run(crowd()) == 200


def test_a_stream_shows_that_it_lives_and_ends_by_itself(events, monkeypatch):
    monkeypatch.setattr(module, "SIGN_OF_LIFE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LIFE_SECONDS", 0.3)

    async def listen():
        answer = await events.stream(asked())
        return [text async for text in answer.body_iterator]

    texts = asyncio.run(listen())
    assert texts[0].startswith("retry") and set(texts[1:]) == {": here\n\n"} and len(texts) > 3


def test_every_stream_ends_when_the_server_does(events):
    async def listen():
        answer = await events.stream(asked())
        asyncio.get_running_loop().call_later(0.1, events.end)
        return [text async for text in answer.body_iterator]

    began = time.monotonic()
    assert len(asyncio.run(listen())) == 2
    assert time.monotonic() - began < module.SIGN_OF_LIFE_SECONDS / 3


def test_who_goes_before_the_first_word_takes_no_place(events, monkeypatch):
    monkeypatch.setattr(module, "MOST_LISTENERS", 2)

    async def gone(_message=None):
        raise OSError("the connection is closed")

    async def knock():
        for _ in range(5):
            answer = await events.stream(asked())
            assert answer.status_code == 200
            with pytest.raises((OSError, ClientDisconnect)):
                await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, gone, gone)

    asyncio.run(knock())
    assert asyncio.run(events.stream(asked())).status_code == 200


def test_f14_who_is_limited_hears_of_stations_of_theirs(events, store):
    def change():
        store.ledger.set_station_status("away", "offline", "gone", 2.0)
        store.ledger.index([indexed(1, owed("away", rule="all of away"))])
        store.ledger.set_station_status("pacs", "offline", "refused", 2.0)
        store.ledger.index([indexed(2, owed("pacs", rule="away"))])

    told = dict(heard(events, change, 2, organizations=("A",)))
    assert (told["task"]["station"], told["station"]["name"]) == ("pacs", "pacs")
    assert told["task"]["requester"] == "", "a station that is not theirs asked for it"
    again = partial(store.ledger.set_station_status, "pacs", "online", "", 3.0)
    with pytest.raises(TimeoutError):
        heard(events, again, 1, organizations=("gone",), seconds=1)
