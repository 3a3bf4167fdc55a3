"""The register of rejections: times, orders and surroundings that a running router seldom shows."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from router.model.commitment import CommitmentReport, Reference
from router.model.delivery import Disposition, Result, State
from router.model.recipe import Recipe
from router.model.rejection import KEY_OBJECT_SELECTION, Rejection
from router.model.rule import Decision
from router.model.station import Duplicates
from router.store.commitment_requests import CommitmentRequests
from router.store.envelope import decode, encode
from router.store.ledger import CatalogueRow
from tests.support.store_making import indexed, instance, owed, settled

AT = 1_000_000.0
STUDY, SERIES = "1.2.3", "1.2.3.1"


def uid(number):
    return f"1.2.826.0.1.{number}"


def note(code, *numbers, number=900, at=AT, stations=("pacs", "cloud"), rules=(), study=STUDY):
    """A note about objects of these numbers."""
    entry = indexed(number, *rules, at=at, study=study, sop_class_uid=KEY_OBJECT_SELECTION)
    rejection = Rejection(code, tuple(map(uid, numbers)), stations)
    decided = replace(entry.decision, disposition=Disposition.ROUTED, rejection=rejection)
    return replace(entry, decision=decided)


def image(number, *stations, at=AT, recipe=None, **facts):
    deliveries = [owed(one) if recipe is None else owed(one, recipe) for one in stations]
    return indexed(number, *deliveries, at=at, **facts)


def found(ledger, number=1):
    return ledger.find_instances(uid(number))


@pytest.fixture
def ledger(store):
    yield store.ledger
    assert store.ledger.account().differences == ()


@pytest.mark.parametrize(
    ("code", "withheld"),
    [("113001", None), ("113037", "113037"), ("113038", "113038"), ("113039", None)],
)
def test_f24_booked_behind_the_note_but_received_before_it(ledger, code, withheld):
    """Two processes index what they receive: safety does not depend on who was first."""
    ledger.index([note(code, 1)])
    ledger.index([image(1, "pacs", at=AT - 1)])
    (held,) = found(ledger)
    assert held.withheld == withheld
    assert len(ledger.deliveries_of_instance(held.instance_id)) == (withheld is None)


def test_f24_in_one_batch_the_note_counts_for_what_stands_behind_it(ledger):
    ledger.index([image(1, "pacs"), note("113037", 1, 2), image(2, "pacs", at=AT + 1)])
    first, second = found(ledger)[0], found(ledger, 2)[0]
    assert (first.disposition, second.disposition) == (
        Disposition.ROUTED,
        Disposition.QUARANTINED,
    )
    assert ledger.deliveries_of_instance(first.instance_id)[0].state is State.CANCELLED
    assert ledger.deliveries_of_instance(second.instance_id) == ()


def test_f24_retention_hides_what_was_there_and_safety_weighs_more(ledger):
    ledger.index([image(1, "pacs", at=AT - 1), image(1, "pacs", at=AT + 5, data=b"new")])
    ledger.index([note("113039", 1)])
    assert [one.withheld for one in found(ledger)] == ["113039", None]
    ledger.index([note("113037", 1, number=901, at=AT + 9)])
    assert [one.withheld for one in found(ledger)] == ["113037", "113037"]
    ledger.index([note("113039", 1, number=902, at=AT + 10)])
    assert [one.withheld for one in found(ledger)] == ["113037", "113037"]


def test_f24_what_died_before_is_not_tried_again_once_it_is_rejected(ledger, store):
    ledger.index([image(1, "pacs"), image(2, "pacs")])
    leased = ledger.turn([], {"pacs": 5}, store.clock.now())
    ledger.turn([settled(one, Result.DEAD, State.DEAD) for one in leased], {}, store.clock.now())
    ledger.index([note("113037", 1)])
    assert ledger.retry() == 1
    assert [one.sop_instance_uid for one in ledger.turn([], {"pacs": 5}, store.clock.now())] == [
        uid(900),
        uid(2),
    ], "the station may have what it was dead about, so it is told"


def test_f24_a_series_of_which_nothing_is_left_is_listed_no_more(ledger):
    row = CatalogueRow(0, STUDY, SERIES, uid(1), b"sealed")
    ledger.index([image(1, "pacs")])
    ledger.put_catalogue(1, [row])
    ledger.index([note("113037", 1, study="1.2.9")])
    assert [one.sealed for one in ledger.catalogue_after(0, 9)] == [None]
    ledger.put_catalogue(2, [row])  # it was being read while it was rejected
    assert [one.sealed for one in ledger.catalogue_after(0, 9)] == [None]
    ledger.index([image(3, "pacs")])
    ledger.put_catalogue(3, [row])
    assert [one.sealed for one in ledger.catalogue_after(0, 9)] == [b"sealed"]


def test_f24_one_version_of_the_note_for_each_way_uids_were_changed(ledger, store):
    plain, other = Recipe.of([]), Recipe.of([("set", {"StationName": "A"})])
    mapped = Recipe.of([("remap_uids", {"except": ["FrameOfReferenceUID"]}), ("blank", "StudyID")])
    recipes = [plain, plain, other, mapped]
    entries = [image(n, "pacs", recipe=recipe) for n, recipe in enumerate(recipes)]
    ledger.index([*entries, note("113001", *range(4))])
    (held,) = found(ledger, 900)
    told = {one.recipe_digest for one in ledger.deliveries_of_instance(held.instance_id)}
    assert told == {plain.digest, mapped.digest}


def test_f24_what_a_person_sends_by_hand_goes(ledger):
    ledger.index([note("113037", 1)])
    ledger.index([indexed(1, owed(rule="send:maria"), at=AT + 1)])
    (held,) = found(ledger)
    assert (held.withheld, held.disposition) == (None, Disposition.ROUTED)
    assert len(ledger.deliveries_of_instance(held.instance_id)) == 1


def test_f24_a_quarantined_note_acts_and_goes_nowhere(ledger):
    entry = note("113037", 1, rules=(owed("cloud"),))
    decided = replace(entry.decision, disposition=Disposition.QUARANTINED)
    ledger.index([image(1, "pacs"), replace(entry, decision=decided)])
    assert ledger.deliveries_of_instance(1)[0].state is State.CANCELLED
    assert ledger.deliveries_of_instance(2) == ()


def test_f24_the_same_note_again_says_nothing_of_what_came_in_between(ledger):
    """An archive gives back the study with its note: that is no second rejection."""
    first = note("113039", 1)
    ledger.index([image(1, "pacs", at=AT - 1), first])
    ledger.index([image(1, "pacs", at=AT + 5, data=b"fetched anew")])
    again = replace(first.instance, received_at=AT + 9)
    ledger.index([replace(first, ref=note("113039", 1, number=901).ref, instance=again)])
    assert [one.withheld for one in found(ledger)] == ["113039", None]


def test_f24_what_the_archive_does_not_commit_to_because_it_was_rejected_is_not_sent_again(
    ledger, store
):
    ledger.index([image(1, "pacs", at=AT - 1)])
    (leased,) = ledger.turn((), {"pacs": 1}, AT)
    ledger.turn([settled(leased, state=State.SENT, sent_as=("1.2", uid(1), "1.3"))], {}, AT)
    store.clock.time += 60
    path = store.folder / "ledger" / "ledger.db"
    requests = CommitmentRequests.open(path, store.clock)
    assert requests.ask("pacs", "2.25.1", AT + 900, 1e6) is not None
    ledger.index([note("113037", 1)])
    report = CommitmentReport("2.25.1", (), {Reference("1.2", uid(1)): 0x0110})
    requests.take_report("pacs", report, AT)
    requests.close()
    (delivery,) = ledger.deliveries_of_instance(found(ledger)[0].instance_id)
    assert delivery.state is State.CANCELLED and "rejected" in delivery.last_error


def test_f24_booking_twice_is_harmless(ledger):
    entries = [image(1, "pacs", "cloud"), note("113001", 1)]
    ledger.index(entries)
    before = ledger.account()
    ledger.index(entries)
    assert ledger.account() == before


def test_f24_thousands_of_objects_cost_little(ledger, store):
    count = 3000
    for start in range(0, count, 250):
        ledger.index([image(n, "pacs", "cloud") for n in range(start, start + 250)])
    began = time.process_time()
    ledger.index([note("113001", *range(count))])
    booked = time.process_time() - began
    began = time.process_time()
    leased = ledger.turn([], {"pacs": 32}, store.clock.now())
    turned = time.process_time() - began
    assert len(leased) == 32
    assert booked < 2, "seconds for a note of 3,000 objects at two stations"
    assert turned < 0.5


@pytest.mark.parametrize("duplicates", [Duplicates(), Duplicates("send_again", "replace")])
@pytest.mark.parametrize("rejection", [None, Rejection("113001", ("1.2", "1.3"), ("a",), ("b",))])
def test_the_envelope_keeps_what_recovery_needs(duplicates, rejection):
    decided = Decision(
        Disposition.ROUTED, (), ("rule",), duplicates=duplicates, rejection=rejection
    )
    assert decode(encode(instance(1), decided, "plan")).decision == decided
