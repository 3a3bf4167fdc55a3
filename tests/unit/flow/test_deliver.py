"""From a lease to what leaves: pinned recipes and character sets, damage, poison, odd clocks, and a
long backlog."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

import pytest

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path
from router.errors import MorphFailed
from router.model.delivery import Result
from router.model.plug import Morph
from router.model.recipe import NO_CHANGE, Recipe
from router.morph.apply import MorphContext
from router.store.records import RecordDamaged
from router.store.segment import segment_path
from tests.support.inside import CT1, Edge, Neighbour, always, plan_of
from tests.support.process import wait_until
from tests.support.store_making import indexed, owed, settled
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1, character_set: ISO_IR 144}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
rules:
  - name: renamed
    match: {Modality: CT}
    route: [{to: pacs, morph: [set: {InstitutionName: "{{ PatientName }}"}]}]
  - {name: as they are, match: {Modality: MR}, route: [pacs]}
"""
CYRILLIC = "Иванов^Иван"


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE, HandClock())
    yield made
    made.close()


def small(seed=1, **options):
    return instance(seed, rows=4, columns=4, **options)


def outgoing(edge, leased):
    with edge.courier().parcels([leased]) as (parcel,):
        return b"".join(map(bytes, parcel.outgoing(None).chunks()))


def text_of(data, keyword, uid, character_set):
    """A text of a data set, read with the character set that is assumed when it declares none."""
    found = EditableDataSet(
        lambda offset, length: data[offset : offset + length],
        len(data),
        uid,
        default_character_set=character_set,
    ).get(parse_path(keyword))
    return found.values[0]


def test_the_assumed_character_set_is_that_of_the_day_it_came(edge):
    """The station's setting is changed after the object was accepted: the bytes stay the same."""
    image = small(
        changes={0x00100010: ("PN", CYRILLIC.encode("iso8859-5"))}, character_set="ISO_IR 144"
    )
    # Without the declaration: it must come from the station's `character_set`.
    start = image.data_set.index(b"\x08\x00\x05\x00CS")
    length = 8 + int.from_bytes(image.data_set[start + 6 : start + 8], "little")
    bare = replace(image, data_set=image.data_set[:start] + image.data_set[start + length :])
    edge.keep(bare)
    (leased,) = edge.lease()
    before = outgoing(edge, leased)
    name = text_of(before, "InstitutionName", image.transfer_syntax_uid, "ISO_IR 144")
    assert name == CYRILLIC

    edge.plan = plan_of(edge.folder / "later", SITE.replace("ISO_IR 144", "ISO_IR 100"))
    assert edge.plan.stations["ct-1"].character_set == "ISO_IR 100"
    assert outgoing(edge, leased) == before


def test_p4_a_recipe_is_that_of_the_plan_that_accepted(edge):
    edge.keep(small(2))
    (leased,) = edge.lease()
    before = outgoing(edge, leased)
    edge.plan = plan_of(edge.folder / "later", SITE.replace("{{ PatientName }}", "Hospital B"))
    assert outgoing(edge, leased) == before
    assert b"Hospital B" not in before
    edge.keep(small(3))
    (after,) = edge.lease()
    assert b"Hospital B" in outgoing(edge, after)
    assert leased.recipe_digest != after.recipe_digest


def test_p4_without_a_recipe_the_bytes_are_those_that_came(edge):
    edge.keep(small(4, modality="MR"))
    (leased,) = edge.lease()
    assert leased.recipe_digest == NO_CHANGE
    assert outgoing(edge, leased) == small(4, modality="MR").data_set


def test_a_parcel_may_be_opened_again_for_a_second_try(edge):
    edge.keep(small(5))
    (leased,) = edge.lease()
    with edge.courier().parcels([leased]) as (parcel,):
        tries = [b"".join(map(bytes, parcel.outgoing(None).chunks())) for _ in range(3)]
    assert tries[0] == tries[1] == tries[2] != small(5).data_set


def test_records_of_a_batch_are_closed_with_it(edge):
    edge.keep(*(small(seed) for seed in range(6, 12)))
    opened = len(os.listdir("/proc/self/fd"))
    for leased in edge.lease():
        outgoing(edge, leased)
    assert len(os.listdir("/proc/self/fd")) <= opened + 1, "the segment may stay open for reading"
    assert all(count == 0 for count in edge.journal._reading._users.values())


def damage(edge, leased, offset):
    with open(segment_path(edge.journal.folder, leased.record.segment), "r+b") as segment:
        segment.seek(leased.record.offset + offset)
        byte = segment.read(1)
        segment.seek(leased.record.offset + offset)
        segment.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("part", ["head", "data", "envelope"])
def test_F7_p13_a_damaged_record_is_quarantined_and_not_a_byte_of_it_sent(edge, part, modality):
    bad, good = small(20, modality=modality, study=1), small(21, modality=modality, study=1)
    edge.keep(bad, good)
    first, second = edge.lease()
    places = {"head": 4, "data": 700, "envelope": first.record.length - 60}
    damage(edge, first, places[part])
    edge.ledger.release_station("pacs", [first.delivery_id, second.delivery_id])
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs):
        edge.wait_for(delivered=1, quarantined=1)
    assert pacs.uids() == [good.sop_instance_uid]
    (task,) = edge.ledger.tasks()
    (row, _) = edge.ledger.deliveries_of(task.task_id)
    assert row.state == "quarantined"
    assert row.last_error
    assert "Novak" not in row.last_error


def test_F7_a_segment_that_is_gone_is_no_reason_to_send_anything_else(edge):
    edge.keep(small(22))
    (leased,) = edge.lease()
    edge.journal.close()
    segment_path(edge.journal.folder, leased.record.segment).unlink()
    with pytest.raises(MorphFailed, match="damaged, nothing was sent"):
        outgoing(edge, leased)
    with pytest.raises(RecordDamaged):
        edge.journal.open(leased.record)


def poison(parameters):
    def step(data_set, context: MorphContext):
        if parameters == "bug":
            raise ZeroDivisionError("Novak^Petra")
        if parameters == "crash":
            raise SystemError("Novak^Petra")
        raise MorphFailed("no value to copy")

    return step


@pytest.mark.parametrize("how", ["says so", "bug", "crash", "unknown"])
def test_F26_a_poison_instance_is_never_sent_unmorphed_and_delays_nobody(edge, monkeypatch, how):
    step = "poison" if how != "unknown" else "a step of another version"
    recipe = Recipe.of([(step, how)])
    morph = Morph("poison", "", {}, "", lambda parameters: poison(parameters))
    monkeypatch.setattr("tests.support.inside.morphs", lambda: (morph,))
    renamed, *rest = edge.plan.rules
    sends = tuple(replace(send, recipe=recipe) for send in renamed.sends)
    edge.plan = replace(edge.plan, rules=(replace(renamed, sends=sends), *rest))
    good = [small(seed, modality="MR") for seed in range(31, 34)]
    edge.keep(small(30), *good)
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs):
        edge.wait_for(delivered=3, quarantined=1)
    assert set(pacs.uids()) == {image.sop_instance_uid for image in good}
    assert "Novak" not in str(edge.lines())
    events = [e for task in edge.ledger.tasks() for e in edge.ledger.events_of(task.task_id)]
    assert "Novak" not in str(events)


def test_F26_a_recipe_that_is_missing_sends_nothing(edge):
    edge.keep(small(35))
    (leased,) = edge.lease()
    with pytest.raises(MorphFailed, match="not in the ledger"):
        outgoing(edge, replace(leased, recipe_digest="0" * 64))


def test_many_recipes_do_not_pile_up_in_memory(edge, monkeypatch):
    monkeypatch.setattr("router.flow.deliver.MAX_COMPILED", 8)
    edge.keep(small(36))
    (leased,) = edge.lease()
    courier = edge.courier()
    recipes = [Recipe.of([("set", {"InstitutionName": f"H{n}"})]) for n in range(30)]
    edge.ledger.remember_recipes(recipes)
    for recipe in recipes:
        with courier.parcels([replace(leased, recipe_digest=recipe.digest)]) as (parcel,):
            parcel.outgoing(None)
        assert len(courier._compiled) <= 8


class TwoClocks(HandClock):
    """A wall clock that someone sets while the monotonic one goes on."""

    wall = 1_000_000_000.0

    def now(self):
        return self.wall


@pytest.mark.parametrize("jump", [-315_360_000.0, -86_400.0, -3600.0, 3600.0, 86_400.0])
def test_F10_a_clock_that_is_set_neither_loses_nor_starves_a_retry(tmp_path, jump):
    clock = TwoClocks()
    edge = Edge(tmp_path, SITE, clock)
    edge.keep(small(40), small(41, modality="MR"))
    pacs = Neighbour(always(Result.RETRY, "time-out"))
    with edge.dispatching(pacs=pacs):
        wait_until(lambda: len(pacs.received) == 2, 5, what="two tries")
        edge.wait_for(queued=2)
        clock.wall += jump
        pacs.script = Neighbour().script
        # One whole interval later, by either clock, both are tried again.
        clock.wall += 31
        clock.pass_seconds(31)
        edge.wait_for(delivered=2)
        edge.keep(small(42))
        edge.wait_for(delivered=3)
    assert len(pacs.received) == 5
    edge.close()


def test_F10_pauses_of_a_station_do_not_know_the_wall_clock(tmp_path):
    clock = TwoClocks()
    edge = Edge(tmp_path, SITE, clock)
    edge.keep(small(43))
    pacs = Neighbour(always(Result.BUSY, "later", retry_after_seconds=20.0))
    with edge.dispatching(pacs=pacs):
        wait_until(lambda: len(pacs.received) == 1, 5, what="a try")
        edge.wait_for(queued=1)
        pacs.script = Neighbour().script
        clock.wall += 86_400
        edge.ring()
        edge.wait_for(queued=1)
        clock.wall -= 2 * 86_400
        clock.pass_seconds(21)
        edge.wait_for(delivered=1)
    edge.close()


def test_F24_a_backlog_of_five_thousand_is_rows_not_memory(edge):
    """Nothing but the window is ever in memory; the order is that of arrival within a study."""

    def entry(number):
        return indexed(number, owed(), study=f"1.2.3.{number // 500}", source=CT1)

    for start in range(1, 5001, 500):
        edge.ledger.index([entry(number) for number in range(start, start + 500)])
    assert edge.ledger.account().deliveries["queued"] == 5000

    tracemalloc.start()
    order = []
    peak = 0
    while leased := edge.lease(count=64):
        order += [int(one.sop_instance_uid.rpartition(".")[2]) for one in leased]
        edge.ledger.turn([settled(one) for one in leased], {}, edge.clock.now())
        peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert order == sorted(order)
    assert len(order) == 5000
    assert peak < 2_000_000, f"{peak} bytes"
