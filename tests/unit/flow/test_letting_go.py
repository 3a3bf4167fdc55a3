"""Letting go: what is foretold is what goes, shredding is told to whom it concerns, nothing else goes."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET

import pytest

from router.clock import Clock
from router.errors import Refused
from router.flow.auditing import entry_of
from router.flow.letting_go import LetGo, LettingGo, Wish, shredded_event
from router.model.audit import Participant, Patient
from router.model.delivery import Result, State
from router.store.audit_due import Whose
from router.store.cache_book import CacheBook
from router.store.choosing import Choice
from tests.support.audit_schema import faults
from tests.support.inside import plan_of
from tests.support.store_making import open_store, owed, settled

EVERYTHING = Choice()


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path, clock=Clock(), segment_bytes=100_000)
    for number in range(12):
        made.keep(number, os.urandom(30_000), owed(), study=f"1.{number % 4}")
    for leased in made.ledger.turn((), {"pacs": 10}, made.clock.now()):
        made.ledger.turn([settled(leased, Result.DELIVERED, State.DELIVERED)], {}, 0.0)
    yield made
    assert made.ledger.account().differences == ()
    made.close()


@pytest.fixture
def going(tmp_path, store):
    book = CacheBook.open(tmp_path / "ledger" / "ledger.db", store.clock)
    yield LettingGo(book, store.journal, store.ledger, store.clock)
    book.close()


def left(store):
    return sum(len(store.ledger.instances_of_study(f"1.{n}")) for n in range(4))


@pytest.mark.parametrize(
    "choice",
    [EVERYTHING, Choice("1.1"), Choice(station="ct-1"), Choice(received_before=1e12),
     Choice("1.2", "ct-1", 1e12), Choice("1.9"), Choice(received_before=0.0)],
)  # fmt: skip
def test_what_is_foretold_goes_and_what_is_owed_stays(store, going, choice):
    foretold = going.foretold(Wish(choice))
    assert left(store) == 12, "nothing was changed"
    done = going.done(Wish(choice))
    assert (done.instances, done.record_bytes, done.studies, done.needed) == (
        foretold.instances, foretold.record_bytes, foretold.studies, foretold.needed,
    )  # fmt: skip
    assert left(store) == 12 - done.instances
    assert going.foretold(Wish(choice)).instances == 0
    if choice == EVERYTHING:
        assert (done.instances, done.needed) == (10, 2)
        assert done.freed_bytes > 150_000


def test_a_size_is_reached_by_the_oldest(store, going):
    wish = Wish(EVERYTHING, most_bytes=200_000)
    foretold = going.foretold(wish)
    assert foretold.instances > 0 and left(store) == 12
    assert going.done(wish).instances == foretold.instances
    assert going.foretold(wish) == LetGo(0, 0, 0, 0)


def test_r237_shredding_is_refused_whole_or_done_whole(store, going):
    waiting = next(n for n in range(4) if going.foretold(Wish(Choice(f"1.{n}"))).needed)
    with pytest.raises(Refused, match="nothing was shredded"):
        going.shredded(f"1.{waiting}", "ana")
    free = next(n for n in range(4) if not going.foretold(Wish(Choice(f"1.{n}"))).needed)
    foretold = going.shred_foretold(f"1.{free}")
    assert foretold.shredded == foretold.instances == 3
    done = going.shredded(f"1.{free}", "ana")
    assert (done.shredded, done.instances, done.log_emptied) == (3, 3, True)
    assert left(store) == 9
    assert going.shred_foretold("1.9") == LetGo(0, 0, 0, 0)


def test_the_message_of_a_shredding_is_sound(tmp_path):
    plan = plan_of(tmp_path)
    person = Participant("ana", is_requestor=True, address="10.0.0.9")
    whose = Whose(Patient("ID-1", "Doe^Jane", "HOSPA"), "ACC-1")
    event = shredded_event(plan, 5.0, person, "1.2.3", whose, 7)
    entry = entry_of(event, plan)
    assert faults(entry.message) == []
    assert (entry.event, entry.who, entry.what) == ("deleted", "ana", "1.2.3")
    root = ET.fromstring(entry.message.decode())  # noqa: S314 - our own text
    assert root.find("EventIdentification/EventID").get("csd-code") == "110105"
    names = [one.get("ParticipantObjectID") for one in root.iter("ParticipantObjectIdentification")]
    assert names == ["1.2.3", "ID-1"]
