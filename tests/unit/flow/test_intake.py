"""One instance in: every answer a sender can hear (protocols 6.1), and what each leaves behind."""

from __future__ import annotations

import dataclasses
import os

import pytest
from blake3 import blake3

from router.errors import ProtocolError
from router.flow.intake import SOP_CLASS_UID, SOP_INSTANCE_UID
from router.model.delivery import Disposition
from router.model.instance import Source
from router.model.rule import Condition, Rule
from router.model.status import describe
from router.store.recovery import recover
from tests.support.inside import CT1, SITE, Edge, arrival, pieces
from tests.support.process import wait_until
from tests.support.synthetic import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Encoder,
    instance,
)

RULES = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
rules:
  - name: nothing of the phantom
    match: {PatientID: PHANTOM}
    refuse: {status: 0xC123, comment: no phantoms here}
  - {name: no localizers, match: {SeriesDescription: SCOUT}, discard: true}
  - {name: images, match: {Modality: CT}, route: [pacs]}
"""


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, RULES)
    yield made
    made.index()
    made.close()


def small(seed=1, **options):
    return instance(seed, rows=8, columns=8, **options)


def received(edge, station="ct-1"):
    """The counter of arrivals of a station: outcome → count."""
    label = f'station="{station}"'
    return {
        line.split('outcome="')[1].split('"')[0]: float(line.rpartition(" ")[2])
        for line in edge.metrics.text().decode().splitlines()
        if line.startswith("dicom_router_instances_received_total") and label in line
    }


def bytes_in_journal(edge):
    return sum(path.stat().st_size for path in edge.journal.folder.iterdir())


def test_p1_0000_means_that_the_record_is_whole_before_anything_is_indexed(edge):
    image = small()
    answer = edge.take(image)
    assert (answer.status, answer.comment, answer.offending_tags) == (0, "", ())
    assert edge.ledger.account().instances["received"] == 0, "the answer does not wait for it"
    found = recover(edge.journal, edge.ledger)
    assert found.segments_in_use == 1, "the record is in the segment being written"
    edge.index()
    (leased,) = edge.lease()
    assert edge.store.read(leased.record) == image.data_set
    stored = edge.ledger.instance(leased.instance_id)
    assert stored.instance.content_digest == blake3(image.data_set).digest()
    assert stored.instance.source == CT1
    assert stored.rules == ("images",)
    assert received(edge) == {"routed": 1}


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_p4_how_the_bytes_were_cut_does_not_matter(edge, size):
    image = small(5)
    assert edge.take(image, size=size).status == 0
    edge.index()
    (leased,) = edge.lease()
    assert edge.store.read(leased.record) == image.data_set


@pytest.mark.parametrize("uid", [IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN])
def test_the_header_is_read_in_the_syntax_it_came_in(edge, uid):
    assert edge.take(small(6, transfer_syntax_uid=uid)).status == 0
    edge.index()
    (leased,) = edge.lease()
    assert leased.transfer_syntax_uid == uid


@pytest.mark.parametrize(
    ("lie", "tag"),
    [
        ({"sop_instance_uid": "1.2.3.4"}, SOP_INSTANCE_UID),
        ({"sop_class_uid": "1.2"}, SOP_CLASS_UID),
    ],
)
def test_A900_when_the_request_names_another_object(edge, lie, tag):
    answer = edge.take(small(), **lie)
    assert describe(answer.status) == "0xA900 data set mismatch"
    assert answer.offending_tags == (tag,)
    assert received(edge) == {"bad_data_set": 1}
    assert edge.ledger.account().instances["received"] == 0
    assert bytes_in_journal(edge) == 0


@pytest.mark.parametrize("tag", [SOP_INSTANCE_UID, SOP_CLASS_UID])
def test_A900_when_the_data_set_does_not_say_what_it_is(edge, tag):
    image = small()
    without = Encoder(EXPLICIT_VR_LITTLE_ENDIAN).element(tag, "UI", "")
    start = image.data_set.index(without[:6])
    length = int.from_bytes(image.data_set[start + 6 : start + 8], "little")
    data = image.data_set[:start] + without + image.data_set[start + 8 + length :]
    answer = edge.intake.take(arrival(image), pieces(data))
    assert (answer.status, answer.offending_tags) == (0xA900, (tag,))
    assert "has no SOP" in answer.comment


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_C000_when_the_data_set_is_cut_short(edge, kept):
    image = small()
    data = image.data_set[: int(len(image.data_set) * kept)]
    answer = edge.intake.take(arrival(image), pieces(data))
    assert answer.status & 0xFF00 == 0xC000
    assert len(answer.comment) <= 64
    assert bytes_in_journal(edge) == 0
    (line,) = edge.lines("data set refused")
    assert line["sop_instance_uid"] == image.sop_instance_uid


def test_C000_when_the_bytes_are_no_data_set(edge):
    answer = edge.intake.take(arrival(small()), pieces(os.urandom(5000)))
    assert answer.status & 0xFF00 == 0xC000
    assert bytes_in_journal(edge) == 0


def test_a_rule_that_refuses_is_heard_and_nothing_is_kept(edge):
    answer = edge.take(small(changes={0x00100020: ("LO", "PHANTOM")}))
    assert (answer.status, answer.comment) == (0xC123, "no phantoms here")
    assert received(edge) == {"refused": 1}
    assert edge.indexer.waiting() == 0
    assert bytes_in_journal(edge) == 0


def test_a_discarded_object_is_accepted_and_owed_to_nobody(edge):
    scout = small(2, changes={0x0008103E: ("LO", "SCOUT")}, modality="MR")
    assert edge.take(scout).status == 0
    edge.index()
    account = edge.ledger.account()
    assert account.instances["discarded"] == 1
    assert account.deliveries["created"] == 0
    assert edge.ledger.owed_records() == ()


def test_an_object_without_a_rule_is_kept(edge):
    assert edge.take(small(3, modality="MR")).status == 0
    edge.index()
    assert edge.ledger.account().instances["unmatched"] == 1
    ((_, ref),) = edge.ledger.owed_records()
    assert edge.store.read(ref) == small(3, modality="MR").data_set


def test_an_object_without_a_rule_is_refused_where_it_says_so(tmp_path):
    edge = Edge(tmp_path, SITE.replace("{name: everything", "{name: ct, match: {Modality: CT}"))
    edge.plan = dataclasses.replace(
        edge.plan, router=dataclasses.replace(edge.plan.router, unmatched="refuse")
    )
    answer = edge.take(small(3, modality="MR"))
    assert (answer.status, answer.comment) == (0xC001, "no rule takes this instance")
    assert bytes_in_journal(edge) == 0
    edge.close()


def failing_rule(error):
    def test(_facts):
        raise error

    condition = Condition("broken", frozenset(), test, lambda _: ())
    return Rule("broken", condition, discard=True)


def test_a_rule_that_crashes_costs_no_image_and_tells_no_value(edge):
    edge.plan = dataclasses.replace(
        edge.plan, rules=(failing_rule(RuntimeError("Novak^Petra")), *edge.plan.rules)
    )
    image = small(7)
    assert edge.take(image).status == 0, "the modality must not send it again and again"
    edge.index()
    account = edge.ledger.account()
    assert account.instances["quarantined"] == 1
    assert account.deliveries["created"] == 0, "nothing is sent that no rule decided about"
    ((_, ref),) = edge.ledger.owed_records()
    assert edge.store.read(ref) == image.data_set
    (line,) = edge.lines("routing failed, instance quarantined")
    assert line["error"] == "RuntimeError"
    assert "Novak" not in str(edge.lines())


def test_P3_a_peer_that_goes_away_leaves_nothing(edge):
    image = small(8)

    def cut(after):
        for number, view in enumerate(pieces(image.data_set, 1000)):
            if number == after:
                raise ProtocolError("the peer aborted")
            yield view

    for after in (0, 1, 3):
        with pytest.raises(ProtocolError):
            edge.intake.take(arrival(image), cut(after))
    assert bytes_in_journal(edge) == 0
    assert edge.indexer.waiting() == 0
    assert received(edge) == {}
    assert edge.take(image).status == 0, "and the next try is served"


def test_P3_a_large_object_that_breaks_off_takes_no_space(edge):
    large = instance(9, rows=1024, columns=1024)

    def cut():
        for number, view in enumerate(pieces(large.data_set, 100_000)):
            if number == 18:
                raise ProtocolError("the peer aborted")
            yield view

    with pytest.raises(ProtocolError):
        edge.intake.take(arrival(large), cut())
    assert bytes_in_journal(edge) == 0
    assert edge.take(large, size=100_000).status == 0
    edge.index()
    (leased,) = edge.lease()
    assert edge.store.read(leased.record) == large.data_set


def test_who_sent_it_is_what_admission_said_not_what_the_object_says(edge):
    stranger = Source("lan", "WHO", "EDGE", "10.9.9.9", None)
    assert edge.take(small(10, modality="CT"), stranger).status == 0
    assert received(edge, "-") == {"routed": 1}
    edge.index()
    (leased,) = edge.lease()
    assert edge.ledger.instance(leased.instance_id).instance.source.station is None


def test_the_plan_is_taken_once_at_the_start_of_an_instance(edge):
    """A plan that changes while bytes arrive rules the next instance, not this one (P11)."""
    image = small(11)
    old = edge.plan

    def changing():
        for view in pieces(image.data_set):
            edge.plan = dataclasses.replace(old, rules=(), digest="the next one")
            yield view

    assert edge.intake.take(arrival(image), changing()).status == 0
    assert edge.take(small(12)).status == 0
    edge.index()
    (first,) = edge.ledger.find_instances(image.sop_instance_uid)
    (second,) = edge.ledger.find_instances(small(12).sop_instance_uid)
    assert (first.plan_digest, first.disposition) == (old.digest, Disposition.ROUTED)
    assert (second.plan_digest, second.disposition) == ("the next one", Disposition.UNMATCHED)


def test_patient_data_stays_in_the_envelope(edge):
    image = small(13, changes={0x00100020: ("LO", "PLANTED-ID"), 0x00080050: ("SH", "PLANTED-ACC")})
    edge.keep(image)
    edge.take(image, sop_instance_uid="1.2.3")
    (stored,) = edge.ledger.find_instances(image.sop_instance_uid)
    assert (stored.instance.patient_id, stored.instance.accession_number) == ("", "")
    assert stored.instance.modality == "CT"
    told = str(edge.lines()) + edge.metrics.text().decode()
    assert "PLANTED" not in told


def test_records_that_were_committed_and_not_indexed_are_found_by_the_next_process(tmp_path):
    edge = Edge(tmp_path, RULES)
    images = [small(seed) for seed in range(20, 25)]
    for image in images:
        assert edge.take(image).status == 0
    edge.store.close()  # the end of the process: what waited for the index is forgotten

    again = Edge(tmp_path, RULES)
    assert recover(again.journal, again.ledger).records == len(images)
    leased = again.lease()
    assert {one.sop_instance_uid for one in leased} == {one.sop_instance_uid for one in images}
    assert [again.store.read(one.record) for one in leased] == [one.data_set for one in images]
    assert recover(again.journal, again.ledger).records == 0
    again.close()


def test_an_answered_object_is_with_the_dispatcher_soon(edge):
    ringing = []
    edge.indexer._ring = lambda: ringing.append(True)
    edge.threads.start("index", edge.indexer.run)
    assert edge.take(small(14)).status == 0
    wait_until(lambda: edge.ledger.waiting_stations() == {"pacs": 1}, 5, what="the index")
    wait_until(lambda: ringing, 5, what="the bell")
    edge.indexer.close()
    assert edge.threads.join(5)
