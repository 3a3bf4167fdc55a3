"""The catalogue: sealed on disk, followed in memory, true to what is held, narrowed without loss."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from router.dicom.identifier import element_of
from router.dicom.matching import matches
from router.errors import StoreDown
from router.model.catalogue import SeriesEntry
from router.model.delivery import Disposition
from router.model.plan import StoreSettings
from router.model.query import DataElement
from router.store.catalogue import LATEST, Catalogue, sealed_row, unsealed
from router.store.eviction import evict
from router.store.records import RecordDamaged
from tests.support.planted_catalogue import entries
from tests.support.store_making import decision, indexed, open_store, owed, settled

NAME, ID, DATE = 0x00100010, 0x00100020, 0x00080020


def entry(study="1.2", series="1.2.1", name="Planted^Name", **more):
    tags = {NAME: name, ID: "PLANTED-1", 0x00080060: "CT", **more.get("attributes", {})}
    return SeriesEntry(study, series, "1.2.1.1", tags)


def listed(catalogue):
    catalogue.follow()
    return {study: attributes.get(NAME) for study, attributes, _ in catalogue.studies({})}


def test_p13_rows_are_sealed_bound_to_their_place_and_survive_rotation(store, tmp_path):
    first, second = (
        sealed_row(entry(), store.keys.primary),
        sealed_row(entry("1.3"), store.keys.primary),
    )
    assert first.sealed != sealed_row(entry(), store.keys.primary).sealed
    store.ledger.put_catalogue(0, [first, second])
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"lanted" not in path.read_bytes(), path
            assert b"PLANTED" not in path.read_bytes(), path
    with pytest.raises(RecordDamaged):
        unsealed(replace(first, study_instance_uid="1.3"), store.keys)
    with pytest.raises(RecordDamaged):
        unsealed(replace(first, sealed=first.sealed[:-1] + b"x"), store.keys)
    with pytest.raises(StoreDown, match="lacks key"):
        unsealed(replace(first, sealed=bytes(16) + first.sealed[16:]), store.keys)
    store.keys.rotate()
    assert unsealed(first, store.keys)[NAME] == "Planted^Name"
    store.ledger.put_catalogue(0, [replace(first, sealed=os.urandom(60)), second])
    catalogue = Catalogue(store.ledger, store.keys)
    assert listed(catalogue) == {"1.3": "Planted^Name"}
    store.ledger.put_catalogue(0, [replace(first, sealed=second.sealed)])
    assert listed(catalogue) == {"1.3": "Planted^Name"}
    assert catalogue.damaged == 2


def test_memory_follows_new_changed_and_forgotten_rows(store):
    catalogue = Catalogue(store.ledger, store.keys)
    assert listed(catalogue) == {}
    rows = [
        sealed_row(entry(), store.keys.primary),
        sealed_row(entry(series="1.2.2"), store.keys.primary),
    ]
    store.ledger.put_catalogue(0, rows)
    assert listed(catalogue) == {"1.2": "Planted^Name"}
    assert [series for series, _ in catalogue.series("1.2")] == ["1.2.1", "1.2.2"]
    store.ledger.put_catalogue(0, [sealed_row(entry(name="New^Name"), store.keys.primary)])
    assert listed(catalogue) == {"1.2": "New^Name"}
    store.ledger.put_catalogue(0, [replace(rows[0], sealed=None)])
    assert listed(catalogue) == {"1.2": "New^Name"}
    store.ledger.put_catalogue(0, [replace(rows[1], sealed=None)])
    assert listed(catalogue) == {} == listed(Catalogue(store.ledger, store.keys))
    assert catalogue.study("1.2") is None
    catalogue.close()
    catalogue.close()


def test_each_series_is_to_be_described_once_and_again_when_its_instance_comes_anew(store):
    ledger = store.ledger

    def news():
        found = ledger.unlisted(100)
        if found is None:
            return None
        rows = [
            replace(
                sealed_row(entry(one.instance.study_instance_uid), store.keys.primary),
                series_instance_uid=one.instance.series_instance_uid,
                sop_instance_uid=one.instance.sop_instance_uid,
            )
            for one in found.instances
        ]
        ledger.put_catalogue(found.mark, rows)
        return sorted(one.instance_id for one in found.instances)

    assert news() is None
    ledger.index([indexed(1), indexed(2), indexed(3, study="1.9"), indexed(4, study="")])
    assert news() == [1, 3]
    ledger.index([indexed(5), indexed(6, study="1.9")])
    assert (news(), news()) == ([], None)
    # The instance the row was read from came with other bytes, twice: the newest counts.
    ledger.index([indexed(1, data=b"other"), indexed(1, data=b"newest"), indexed(2, data=b"new")])
    assert news() == [8]
    for disposition in (Disposition.DISCARDED, Disposition.QUARANTINED):
        hidden = indexed(7, study="1.10")
        ledger.index([replace(hidden, decision=decision(disposition=disposition))])
    assert news() == []


def test_what_is_evicted_is_forgotten_with_its_row(tmp_path):
    store = open_store(tmp_path, segment_bytes=3000)
    for number in range(1, 7):
        study = "1.2" if number < 4 else "1.3"
        store.keep(number, os.urandom(2000), owed(), study=study)
    for leased in store.ledger.turn((), {"pacs": 9}, store.clock.now()):
        store.ledger.turn([settled(leased)], {}, store.clock.now())
    rows = [sealed_row(entry(study, f"{study}.1"), store.keys.primary) for study in ("1.2", "1.3")]
    store.ledger.put_catalogue(6, rows)
    catalogue = Catalogue(store.ledger, store.keys)
    assert set(listed(catalogue)) == {"1.2", "1.3"}
    assert sum(one.instances for one in store.ledger.held_counts(["1.2", "1.3"])) == 6
    evict(store.journal, store.ledger, StoreSettings(max_bytes=9000), store.clock.now())
    held = {one.study_instance_uid for one in store.ledger.held_counts(["1.2", "1.3"])}
    assert held == {"1.3"} == set(listed(catalogue))
    store.close()


KEYS = [
    (NAME, "PN", ("yamada*",)),
    (NAME, "PN", ("*a?ada*^J*",)),
    (NAME, "PN", ("PAPP*",)),
    (NAME, "PN", ("παππάσ*",)),
    (NAME, "PN", ("김*=", "Okafor1*")),
    (NAME, "PN", ("[x]*",)),
    (ID, "LO", ("P0000001",)),
    (ID, "LO", (" P0000001 ",)),
    (ID, "LO", ("P*1",)),
    (ID, "LO", ("p0000001",)),
    (DATE, "DA", ("20200101-20201231",)),
    (DATE, "DA", ("-2016",)),
    (DATE, "DA", ("2024.01.01-",)),
    (DATE, "DA", ("20160203",)),
    (0x00080030, "TM", ("10-",)),
    (0x00080030, "TM", ("1000-1016",)),
    (0x00080030, "TM", ("10:15:30", "093001-0930")),
    (0x00102180, "SH", ("BAKER",)),
    (0x00102180, "SH", ('A "*"',)),
    (0x00102180, "SH", ("A??B?",)),
    (0x00104000, "LT", ("*back\\slash",)),
    (0x00081030, "LO", ("CHEST*",)),
    (0x00081030, "LO", ("?HORAX", "KNEE LEFT")),
    (0x0020000D, "UI", ("1.2.826.0.1.3680043.10.1.999.9.7", "1.9")),
    (0x00080061, "CS", ("M?",)),
    (0x00100040, "CS", ("F",)),
    (0x00080050, "SH", ("*",)),
]


@pytest.mark.parametrize("other", range(0, len(KEYS), 3))
def test_narrowing_loses_nothing_that_matches(store, other):
    """For every pair of keys, what the matching rules find among all is among what SQL lets through."""
    everything = list(entries(400))
    odd = {NAME: "Yamada^Jiro=山田^二郎", DATE: "2020.03.04", 0x00080060: "MR", ID: "A\\P0000001"}
    odd |= {0x00080030: "10", 0x00102180: 'A "B"', 0x00104000: "a back\\slash"}
    everything.append(SeriesEntry("1.9", "1.9.1", "1", odd))
    everything.append(
        SeriesEntry("1.10", "1.10.1", "1", {NAME: "[X]^Ž", 0x00080060: "CT", 0x00102180: "BAKER"})
    )
    store.ledger.put_catalogue(0, [sealed_row(one, store.keys.primary) for one in everything])
    catalogue = Catalogue(store.ledger, store.keys)
    catalogue.follow()
    found_some = 0
    for tag, vr, values in KEYS:
        keys = {tag: DataElement(vr, values)}
        keys.setdefault(KEYS[other][0], DataElement(KEYS[other][1], KEYS[other][2]))
        narrowed = {study for study, _, _ in catalogue.studies(keys)}
        expected = {one.study_instance_uid for one in everything if fits(keys, one)}
        assert expected <= narrowed, keys
        found_some += 0 < len(expected) <= len(narrowed) < len(everything)
    assert found_some > 0


def fits(keys, one):
    texts = {**one.attributes, 0x00080061: one.attributes[0x00080060]}
    texts[0x0020000D] = one.study_instance_uid
    return matches(keys, {tag: element_of(tag, text) for tag, text in texts.items()})


def test_a_search_that_nobody_wants_ends_at_the_next_page(store):
    rows = [sealed_row(one, store.keys.primary) for one in entries(350)]
    store.ledger.put_catalogue(0, rows)
    catalogue = Catalogue(store.ledger, store.keys)
    catalogue.follow()
    pages = iter([True, True, False])
    assert len(list(catalogue.studies({}, lambda: next(pages)))) == 200
    assert len(list(catalogue.studies({}))) == 350


def test_pages_follow_one_another_without_gap_or_double(store):
    rows = [
        sealed_row(entry(f"1.{n}", f"1.{n}.1", f"Name{n}"), store.keys.primary) for n in range(250)
    ]
    store.ledger.put_catalogue(0, rows)
    catalogue = Catalogue(store.ledger, store.keys)
    catalogue.follow()
    found, before = [], LATEST
    while page := catalogue.page({}, before):
        assert [one[0] for one in page] == sorted((one[0] for one in page), reverse=True)
        found += [one[1] for one in page]
        before = page[-1][0]
    assert found == [f"1.{n}" for n in reversed(range(250))]
    assert found == [study for study, _, _ in catalogue.studies({})]
    catalogue.close()


def test_what_is_held_of_studies_is_summed_up(store):
    store.ledger.index([indexed(number, owed()) for number in range(3)])
    one = store.ledger.instance(1).instance
    (told,) = store.ledger.held_studies([one.study_instance_uid])
    held = store.ledger.instances_of_study(one.study_instance_uid)
    assert told.instances == len(held)
    assert told.series == len({each.instance.series_instance_uid for each in held})
    assert told.data_set_bytes == sum(each.instance.data_set_length for each in held)
    assert told.received_at == max(each.instance.received_at for each in held)
    assert set(told.sources) <= {one.source.station, one.source.calling_ae_title}
    assert store.ledger.held_studies(["1.2.3.4.5"]) == store.ledger.held_studies([]) == ()


def test_a_change_by_anybody_is_noticed_and_none_is_not(store, tmp_path):
    before = store.ledger.version()
    assert store.ledger.version() == before
    store.ledger.index([indexed(1, owed())])
    after = store.ledger.version()
    assert after != before
    store.ledger.tasks()
    store.ledger.account()
    assert store.ledger.version() == after
    other = open_store(tmp_path)
    other.ledger.set_station_status("pacs", "online", "", 1.0)
    other.close()
    assert store.ledger.version() != after
