"""What is received is listed and found: cataloguer, header reading, levels, counts, bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from router.clock import Clock
from router.dimse.handlers import OperationRequest
from router.errors import BadDataset, Refused
from router.flow.asking import find_query, retrieve_query
from router.flow.cataloguer import Cataloguer
from router.flow.finding import Finder
from router.flow.held import HeldHeaders
from router.flow.operating import MAX_FINDS, Operations
from router.flow.received import ReceiveHooks
from router.model.instance import Source
from router.model.query import DataElement, Query
from router.plugs import morphs
from router.store.catalogue import Catalogue
from tests.support.inside import CT1, MAPPING_KEY, SITE, Edge
from tests.support.planted_catalogue import entries, plant
from tests.support.synthetic import instance, series

STUDY_FIND, PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.1.1"
NAME, PATIENT_ID, LEVEL = 0x00100010, 0x00100020, 0x00080052
STUDY, SERIES, SOP = 0x0020000D, 0x0020000E, 0x00080018
HOOKED = SITE.replace(
    "stations:\n",
    "stations:\n  odd: {ae_title: ODD, morph: {receive: [{set: {PatientName: Seen^Otherwise}}]}}\n"
    '  bad: {ae_title: BAD, morph: {receive: [{set: {PatientID: "{{ PatientMotherBirthName }}"}}]}}\n',
)


class Found:
    """An edge, its cataloguer, and a finder over what it lists."""

    def __init__(self, folder: Path, site: str = SITE) -> None:
        self.edge = edge = Edge(folder, site)
        hooks = ReceiveHooks({plug.name: plug for plug in morphs()}, MAPPING_KEY)
        headers = HeldHeaders(lambda: edge.plan, edge.journal, hooks)
        keys = edge.store.keys
        self.cataloguer = Cataloguer(
            edge.ledger, headers, keys, Clock(), edge.log, edge.threads.stop
        )
        self.catalogue = Catalogue(edge.ledger, keys)
        self.finder = Finder(self.catalogue, edge.ledger, headers, Clock())

    def keep(self, *objects, source=CT1) -> None:
        self.edge.keep(*objects, source=source)
        while self.cataloguer.catalogue():
            pass

    def find(self, level="STUDY", limit=100, **keys):
        tags = {int(tag[1:], 16): text for tag, text in keys.items()}
        wanted = {tag: DataElement(vr(tag), (text,) if text else ()) for tag, text in tags.items()}
        search = self.finder.find(Query(level, wanted, limit, 10.0), lambda: True)
        answers = []
        while True:
            try:
                answers.append(next(search))
            except StopIteration as end:
                return answers, end.value


def vr(tag):
    return {NAME: "PN", PATIENT_ID: "LO"}.get(tag, "UI" if tag in {STUDY, SERIES, SOP} else "IS")


@pytest.fixture
def found(tmp_path):
    made = Found(tmp_path, HOOKED)
    yield made
    made.edge.close()


def texts(answers, tag):
    return [one[tag].text for one in answers]


def test_levels_counts_and_the_newest_version(found):
    first = list(series(3, rows=16, columns=16))
    found.keep(*first, instance(9, rows=16, columns=16, modality="MR"))
    answers, ending = found.find(t00100010="", t00201208="", t00080061="", t00201206="")
    assert not ending.is_truncated
    by_study = {one[STUDY].text: one for one in answers}
    one = by_study[first[0].study_instance_uid]
    assert [one[tag].text for tag in (0x00201208, 0x00201206, 0x00080061)] == ["3", "1", "CT"]
    key = {f"t{STUDY:08X}": first[0].study_instance_uid}
    (told,), _ = found.find("SERIES", **key, t00201209="", t0008103E="")
    assert (told[0x00201209].text, told[SERIES].text) == ("3", first[0].series_instance_uid)
    # The first object comes again corrected: one instance, told and named anew.
    corrected = instance(
        1_000_000, study=1, rows=16, columns=16, changes={NAME: ("PN", "Right^Name")}
    )
    assert corrected.sop_instance_uid == first[0].sop_instance_uid
    found.keep(corrected)
    (told,), _ = found.find(t00100010="RIGHT^*", t00201208="")
    assert (told[STUDY].text, told[0x00201208].text) == (first[0].study_instance_uid, "3")
    images, _ = found.find("IMAGE", **key, t0020000E=first[0].series_instance_uid, t00200013="")
    assert sorted(texts(images, 0x00200013)) == ["1", "2", "3"]
    named = {f"t{SOP:08X}": first[2].sop_instance_uid}
    images, _ = found.find("IMAGE", **key, t0020000E=first[0].series_instance_uid, **named)
    assert texts(images, SOP) == [first[2].sop_instance_uid]


def test_receive_hooks_are_seen_and_what_they_fail_on_is_not_listed(found):
    odd = Source("lan", "ODD", "EDGE", "10.0.0.9", "odd")
    bad = Source("lan", "BAD", "EDGE", "10.0.0.9", "bad")
    found.keep(instance(1, rows=16, columns=16), source=odd)
    found.keep(instance(2, rows=16, columns=16), source=bad)
    answers, _ = found.find(t00100010="")
    assert texts(answers, NAME) == ["Seen^Otherwise"]


def test_f34_patients_are_told_as_they_came_to_whom_that_is_promised(tmp_path):
    site = SITE.replace(
        "stations:\n",
        "stations:\n  odd: {ae_title: ODD, morph: {receive: [{prefix: {PatientID: NEW-}}]}}\n",
    )
    made = Found(tmp_path, site)
    odd = Source("lan", "ODD", "EDGE", "10.0.0.9", "odd")
    changes = {PATIENT_ID: ("LO", "A1")}
    made.keep(*series(2, rows=8, columns=8, changes=changes), source=odd)
    made.keep(instance(9, rows=8, columns=8, changes={PATIENT_ID: ("LO", "NEW-A1")}))

    def told(level, patient_id, *, as_it_came):
        keys = {PATIENT_ID: DataElement("LO", (patient_id,)), 0x00201200: DataElement("IS")}
        query = Query(level, keys, 100, 10.0)
        answers = made.finder.find(query, lambda: True, as_it_came=as_it_came)
        return [
            (one[PATIENT_ID].text, one[0x00201200].text if 0x00201200 in one else "2")
            for one in answers
        ]

    for level in ("STUDY", "PATIENT"):
        # Two studies of the patient as we know him; whoever knows him as he came asks for one.
        assert told(level, "A1", as_it_came=True) == [("A1", "2")]
        assert told(level, "NEW-A1", as_it_came=True) == [("NEW-A1", "2")]
        assert told(level, "A1", as_it_came=False) == []
        assert set(told(level, "NEW-*", as_it_came=False)) == {("NEW-A1", "2")}
    made.edge.close()


def test_the_catalogue_is_rebuilt_from_the_journal(found):
    found.keep(*series(2, rows=16, columns=16), instance(5, rows=16, columns=16))
    before = found.find(t00100010="")[0]
    with found.edge.ledger._database.write() as connection:
        connection.execute("DELETE FROM catalogue")
        connection.execute("UPDATE catalogue_mark SET instance_id = 0")
    while found.cataloguer.catalogue():
        pass
    anew = Finder(
        Catalogue(found.edge.ledger, found.edge.store.keys), found.edge.ledger, None, Clock()
    )
    query = Query("STUDY", {NAME: DataElement("PN")}, 100, 10.0)
    assert list(anew.find(query, lambda: True)) == before


def test_limits_of_number_and_time_are_said(tmp_path):
    plant(tmp_path / "data", 300)
    found = Found(tmp_path)
    answers, ending = found.find(limit=120, t00100010="")
    assert (len(answers), ending.is_truncated) == (120, True)
    assert "limit of 120" in ending.words
    answers, ending = found.find(limit=300, t00100010="")
    assert (len(answers), ending.is_truncated) == (300, False)
    patients, _ = found.find("PATIENT", limit=300, t00100020="", t00201200="")
    assert len(patients) == 150
    assert set(texts(patients, 0x00201200)) == {"2"}
    late = Query("STUDY", {NAME: DataElement("PN")}, 300, 0.0)
    search = found.finder.find(late, lambda: True)
    with pytest.raises(StopIteration) as end:
        while True:
            next(search)
    assert end.value.value.is_truncated
    assert {one.study_instance_uid for one in entries(300)} == set(
        texts(found.find(limit=300, t00100010="")[0], STUDY)
    )
    found.edge.close()


@pytest.mark.parametrize(
    ("ask", "identifier", "root", "tag"),
    [
        (find_query, {}, STUDY_FIND, LEVEL),
        (find_query, {LEVEL: "PATIENT", NAME: ""}, STUDY_FIND, LEVEL),
        (find_query, {LEVEL: "STUDY"}, STUDY_FIND, None),
        (find_query, {LEVEL: "STUDY", NAME: ""}, PATIENT_FIND, PATIENT_ID),
        (find_query, {LEVEL: "STUDY", PATIENT_ID: "*"}, PATIENT_FIND, PATIENT_ID),
        (find_query, {LEVEL: "SERIES", SERIES: ""}, STUDY_FIND, STUDY),
        (find_query, {LEVEL: "IMAGE", STUDY: "1"}, STUDY_FIND, SERIES),
        (retrieve_query, {LEVEL: "STUDY", STUDY: ""}, STUDY_FIND, STUDY),
        (retrieve_query, {LEVEL: "SERIES", STUDY: "1"}, STUDY_FIND, SERIES),
        (retrieve_query, {LEVEL: "SERIES", STUDY: "1\\2", SERIES: "1"}, STUDY_FIND, STUDY),
        (retrieve_query, {LEVEL: "PATIENT", PATIENT_ID: ""}, PATIENT_FIND, PATIENT_ID),
    ],
)
def test_identifiers_that_lack_something_name_it(ask, identifier, root, tag):
    made = {
        at: DataElement("CS" if at == LEVEL else vr(at), tuple(filter(None, text.split("\\"))))
        for at, text in identifier.items()
    }
    more = (10, 1.0) if ask is find_query else ()
    with pytest.raises(BadDataset) as error:
        ask(made, root, *more)
    assert (error.value.status, error.value.offending_tags) == (0xA900, (tag,) if tag else ())


class Never:
    """An exchange nobody cancels."""

    def is_cancelled(self):
        return False


def test_who_may_not_and_who_comes_when_too_many_ask(found):
    edge = found.edge
    operations = Operations(lambda: edge.plan, found.finder, None, None, None)
    identifier = bytes.fromhex("0800520043530600") + b"STUDY " + bytes.fromhex("10001000504E0000")

    def ask(station):
        source = Source("lan", "X", "EDGE", "10.0.0.1", station)
        request = OperationRequest(source, 0x20, STUDY_FIND, 1, identifier, "1.2.840.10008.1.2.1")
        return operations.operate(request, Never())

    for station in (None, "ct-1", "no such"):
        with pytest.raises(Refused) as error:
            next(ask(station))
        assert error.value.status == 0x0124
    found.keep(instance(1, rows=16, columns=16))
    _may_query(edge)
    busy = [ask("pacs") for _ in range(MAX_FINDS)]
    assert {next(one).status for one in busy} == {0xFF00}
    (told,) = ask("pacs")
    assert told.status == 0xA700
    busy[0].close()
    assert [one.status for one in ask("pacs")] == [0xFF00, 0x0000]


def _may_query(edge):
    pacs = replace(edge.plan.stations["pacs"], query_retrieve=True)
    edge.plan = replace(edge.plan, stations={**edge.plan.stations, "pacs": pacs})
