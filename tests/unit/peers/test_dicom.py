"""A DICOM station against a provider that follows scripts: F15, F16, F17, F26."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.clock import Clock
from router.errors import MorphFailed
from router.model.delivery import Priority, Result
from router.model.station import Heartbeat, Limits, Station
from router.peers.dicom import DicomPeer
from router.peers.kinds.dicom import PLUGS
from tests.support.parcels import outcomes, parcel, parcels, peer_context, results
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    NATIVE,
    SOP_CLASSES,
    instance,
)

D, R, B, H, X = Result.DELIVERED, Result.RETRY, Result.BUSY, Result.HOLD, Result.DEAD
U, Q = Result.UNREACHABLE, Result.QUARANTINED
IMAGES = [instance(number, study=1, rows=8, columns=8) for number in range(1, 5)]


class MovedClock(Clock):
    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.offset


@pytest.fixture
def scp() -> Iterator[ScriptedScp]:
    with ScriptedScp() as running:
        yield running


def station(port: int | None, **changes: Any) -> Station:
    made = Station(
        "pacs",
        "dicom",
        ae_title="PACS",
        host="127.0.0.1",
        port=port,
        send=True,
        limits=Limits(timeout_seconds=2.0),
        heartbeat=Heartbeat(timeout_seconds=2.0),
    )
    return replace(made, **changes)


@pytest.fixture
def peer(scp: ScriptedScp) -> Iterator[DicomPeer]:
    made = DicomPeer(station(scp.port), peer_context())
    yield made
    made.close()


def test_a_batch_travels_over_one_association_byte_for_byte(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    assert results(peer, parcels(IMAGES)) == [D] * 4
    assert results(peer, parcels(IMAGES)) == [D] * 4
    assert len(scp.associations) == 1
    assert scp.associations[0].calling_ae_title.strip() == "EDGE_A"
    digests = [hashlib.sha256(image.data_set).hexdigest() for image in IMAGES]
    assert [one.sha256 for one in scp.stored] == digests * 2


def test_outcomes_are_given_as_the_answers_arrive(scp: ScriptedScp, peer: DicomPeer) -> None:
    sending = peer.send(parcels(IMAGES))
    next(sending)
    assert len(scp.stored) == 1
    assert len(list(sending)) == 3


@pytest.mark.parametrize("priority", list(Priority))
def test_f61_the_priority_is_in_the_command(
    priority: Priority, scp: ScriptedScp, peer: DicomPeer
) -> None:
    assert results(peer, [parcel(IMAGES[0], priority=priority)]) == [D]
    assert scp.stored[0].priority == {"high": 1, "medium": 0, "low": 2}[priority.word]


def test_the_station_may_be_called_by_another_title(scp: ScriptedScp) -> None:
    peer = DicomPeer(station(scp.port, calling_ae_title="OTHER"), peer_context())
    results(peer, parcels(IMAGES[:1]))
    peer.close()
    assert scp.associations[0].calling_ae_title.strip() == "OTHER"


def test_an_association_at_rest_is_released_after_half_a_minute(scp: ScriptedScp) -> None:
    clock = MovedClock()
    peer = DicomPeer(station(scp.port), peer_context(clock))
    results(peer, parcels(IMAGES[:1]))
    clock.offset = 20.0
    peer.idle()
    results(peer, parcels(IMAGES[:1]))
    assert len(scp.associations) == 1
    clock.offset = 55.0
    peer.idle()
    results(peer, parcels(IMAGES[:1]))
    assert len(scp.associations) == 2
    peer.close()


def test_a_class_not_proposed_yet_needs_a_new_association(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    assert results(peer, parcels(IMAGES[:1])) == [D]
    others = [instance(9, modality="MR", rows=8, columns=8), IMAGES[1]]
    assert results(peer, parcels(others)) == [D, D]
    assert len(scp.associations) == 2


def test_no_association_proposes_more_than_128_contexts(scp: ScriptedScp, peer: DicomPeer) -> None:
    many = [
        replace(instance(n, rows=2, columns=2), sop_class_uid=f"1.2.840.10008.5.1.4.1.1.{n}")
        for n in range(1, 71)
    ]
    assert results(peer, parcels(many)) == [D] * 70
    assert len(scp.associations) == 2
    assert max(len(one.contexts) for one in scp.associations) <= 128


@pytest.mark.parametrize("source", NATIVE)
@pytest.mark.parametrize("accepted", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
def test_what_is_not_accepted_as_it_is_stored_is_converted_without_loss(
    source: str, accepted: str, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(accept=lambda _, offered: accepted if accepted in offered else None)
    image = instance(1, rows=8, columns=8, transfer_syntax_uid=source)
    assert results(peer, [parcel(image)]) == [D]
    (stored,) = scp.stored
    assert stored.transfer_syntax_uid == accepted
    if source == accepted:
        assert stored.sha256 == hashlib.sha256(image.data_set).hexdigest()


def test_compressed_is_sent_as_it_is_or_not_at_all(scp: ScriptedScp, peer: DicomPeer) -> None:
    image = instance(1, rows=8, columns=8, transfer_syntax_uid=JPEG_2000_LOSSLESS)
    assert results(peer, [parcel(image)]) == [D]
    contexts = scp.associations[0].contexts.values()
    assert [tuple(offered) for _, offered, _ in contexts] == [(JPEG_2000_LOSSLESS,)]


def test_F16_no_accepted_context_is_dead_and_names_class_and_syntax(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(
        accept=lambda abstract, offered: None if abstract == SOP_CLASSES["CT"] else offered[0]
    )
    sent = parcels([IMAGES[0], instance(9, modality="MR", rows=8, columns=8)])
    dead, delivered = outcomes(peer, sent)
    assert (dead.result, delivered.result) == (X, D)
    assert "CT Image Storage" in dead.message
    assert "Explicit VR Little Endian" in dead.message


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0x0000, D),
        (0xB000, D),
        (0xB007, D),
        (0x0111, D),
        (0xA700, B),
        (0xA900, X),
        (0xC000, X),
        (0xC211, R),
        (0x0110, R),
        (0x0124, H),
        (0x0122, X),
        (0xFE00, R),
        ("empty", R),
        ("none", R),
        ("wrong-id", R),
        ("abort", R),
        ("close", R),
        ("garbage", R),
    ],
)
def test_F15_each_answer_has_its_result(
    status: int | str, result: Result, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(status,), comment="out of cheese")
    (outcome,) = outcomes(peer, parcels(IMAGES[:1]))
    assert outcome.result is result
    if isinstance(status, int):
        assert outcome.status == status
        assert outcome.message.endswith("out of cheese")


def test_F15_sop_class_not_supported_is_tried_once_more_alone(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(0x0122, 0x0000))
    both = parcels([IMAGES[0], instance(9, modality="MR", rows=8, columns=8)])
    assert results(peer, both) == [D, D]
    alone = scp.associations[1].contexts.values()
    assert {abstract for abstract, _, _ in alone} == {SOP_CLASSES["CT"]}


def test_F15_two_answers_to_one_request_do_not_confirm_the_next(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=("twice", 0x0000))
    first, second = outcomes(peer, parcels(IMAGES[:2]))
    # the stray answer is noticed before the next object, which needs a new association, or amid it
    assert first.result is D
    assert (second.result, len(scp.associations)) in ((D, 2), (R, 1))


@pytest.mark.parametrize("fault", ["abort", "close"])
def test_F16_an_association_lost_midway_leaves_the_rest_untried(
    fault: str, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(0x0000, fault, 0x0000))
    found = outcomes(peer, parcels(IMAGES))
    assert [one.result for one in found] == [D, R, U, U]
    assert found[2].message.startswith("not sent")
    assert len(scp.stored) == 2
    assert results(peer, parcels(IMAGES[1:])) == [D] * 3


def test_a_kept_association_that_the_station_closed_costs_nothing(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    assert results(peer, parcels(IMAGES[:1])) == [D]
    for sock in tuple(scp._open):
        sock.shutdown(socket.SHUT_RDWR)
    assert results(peer, parcels(IMAGES[1:])) == [D] * 3
    assert len(scp.associations) == 2


def test_F16_one_busy_answer_is_one_object_two_are_the_station(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(0xA700, 0x0000))
    assert results(peer, parcels(IMAGES)) == [B, D, D, D]
    scp.script = Script(statuses=(0xA700,))
    scp._answers = 0
    before = len(scp.stored)
    peer.close()
    assert results(peer, parcels(IMAGES)) == [B] * 4
    assert len(scp.stored) == before + 2


def test_not_authorised_holds_the_station_after_one_object(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(0x0124,))
    assert results(peer, parcels(IMAGES)) == [H] * 4
    assert len(scp.stored) == 1


@pytest.mark.parametrize(
    ("rejection", "result"),
    [
        ((1, 1, 1), H),
        ((1, 1, 3), H),
        ((1, 1, 7), H),
        ((1, 2, 1), H),
        ((2, 3, 1), B),
        ((2, 3, 2), B),
    ],
)
def test_F16_a_rejected_association_speaks_for_the_station(
    rejection: tuple[int, int, int], result: Result, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(reject=rejection)
    assert results(peer, parcels(IMAGES)) == [result] * 4
    assert len(scp.associations) == 1
    assert not peer.probe().ok


def test_F17_a_station_that_stops_reading_is_given_up_at_the_deadline(scp: ScriptedScp) -> None:
    scp.script = Script(stop_reading_after_bytes=10_000)
    peer = DicomPeer(station(scp.port, limits=Limits(timeout_seconds=0.5)), peer_context())
    large = instance(1, rows=1024, columns=2048)
    began_at = time.monotonic()
    assert results(peer, [parcel(large, 1), *parcels(IMAGES)[1:]]) == [R, U, U, U]
    assert time.monotonic() - began_at < 10
    peer.close()


def test_F20_nobody_there_is_unreachable_and_burns_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    peer = DicomPeer(station(port), peer_context())
    assert results(peer, parcels(IMAGES)) == [U] * 4
    assert not peer.probe().ok


def test_a_station_that_only_sends_to_us_is_never_called() -> None:
    peer = DicomPeer(station(None), peer_context())
    assert results(peer, parcels(IMAGES[:1])) == [H]
    assert "only sends to us" in peer.probe().message


def test_a_tls_profile_that_is_not_there_holds_the_station(scp: ScriptedScp) -> None:
    peer = DicomPeer(station(scp.port, tls="nowhere"), peer_context())
    assert results(peer, parcels(IMAGES[:2])) == [H, H]


def test_F26_a_parcel_that_fails_hurts_nobody_else(scp: ScriptedScp, peer: DicomPeer) -> None:
    sent = parcels(IMAGES)
    sent[0] = parcel(IMAGES[0], 1, fails=MorphFailed("no"))
    sent[2] = parcel(IMAGES[2], 3, breaks=MorphFailed("damaged"))
    assert results(peer, sent) == [Q, D, Q, D]
    assert [one.sop_instance_uid for one in scp.stored] == [
        IMAGES[1].sop_instance_uid,
        IMAGES[3].sop_instance_uid,
    ]


def test_f30_the_probe_is_an_echo_with_the_exact_answer(scp: ScriptedScp, peer: DicomPeer) -> None:
    probe = peer.probe()
    assert probe.ok
    assert probe.message == "C-ECHO: 0x0000 success"
    assert scp.echoes == 1
    scp.script = Script(echo_status=0x0122)
    probe = peer.probe()
    assert (probe.ok, probe.message) == (False, "C-ECHO: 0x0122 SOP class not supported")
    scp.script = Script(accept=lambda _abstract, _offered: None)
    assert not peer.probe().ok


def test_p13_values_in_an_error_comment_are_left_out(scp: ScriptedScp, peer: DicomPeer) -> None:
    scp.script = Script(statuses=(0xA900,), comment="bad PatientName 'DOE^CANARY'")
    (outcome,) = outcomes(peer, parcels(IMAGES[:1]))
    assert "CANARY" not in outcome.message
    assert "bad PatientName" in outcome.message


def test_the_description_of_the_kind_is_complete() -> None:
    (kind,) = PLUGS
    assert kind.name == "dicom"
    assert all("description" in one or "const" in one for one in kind.schema["properties"].values())
