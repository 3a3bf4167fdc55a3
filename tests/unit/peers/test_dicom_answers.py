"""A DICOM station over the wire: every family of answers, every fallback, one object that aborts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from router.model.delivery import Outcome, Result
from router.model.station import Heartbeat, Limits, Station
from router.model.status import describe
from router.peers.dicom import DicomPeer
from tests.support.parcels import outcomes, parcel, parcels, peer_context, results
from tests.support.scripted_scp import Answer, Script, ScriptedScp
from tests.support.synthetic import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    NATIVE,
    RLE_LOSSLESS,
    Synthetic,
    instance,
)

D, R, B, H, X = Result.DELIVERED, Result.RETRY, Result.BUSY, Result.HOLD, Result.DEAD
U = Result.UNREACHABLE
IMPLICIT, EXPLICIT = IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN
DEFLATED, BIG = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
IMAGES = [instance(number, study=1, rows=8, columns=8) for number in range(1, 7)]
# PS3.7 annex C and PS3.4 table B.2-1, first and last of each range, and what each says of us.
FAMILIES = [
    (D, (0x0000, 0x0001, 0x0107, 0x0111, 0x0116)),
    (D, (0xB000, 0xB006, 0xB007, 0xBFFF)),
    (X, (0x0105, 0x0106, 0x0115, 0x0117, 0x0119, 0x0120, 0x0121)),
    (X, (0xA900, 0xA9FF, 0xC000, 0xC001, 0xCFFF)),
    (R, (0x0110, 0x0112, 0x0113, 0x0114, 0x0118, 0x0123, 0x0210, 0x0211, 0x0212, 0x0213)),
    (R, (0xFE00, 0xFF00, 0xFF01, 0x0002, 0x8001, 0xA600, 0xA800, 0xAA00, 0xD000, 0xFFFF)),
]


def station(port: int, **changes: object) -> Station:
    made = Station("pacs", "dicom", ae_title="PACS", host="127.0.0.1", port=port, send=True)
    limits, heartbeat = Limits(timeout_seconds=2.0), Heartbeat(timeout_seconds=2.0)
    return replace(made, limits=limits, heartbeat=heartbeat, **changes)  # type: ignore[arg-type]


@pytest.fixture
def scp() -> Iterator[ScriptedScp]:
    with ScriptedScp() as running:
        yield running


@pytest.fixture
def peer(scp: ScriptedScp) -> Iterator[DicomPeer]:
    made = DicomPeer(station(scp.port), peer_context())
    yield made
    made.close()


@pytest.mark.parametrize(("result", "statuses"), FAMILIES)
def test_F15_a_family_speaks_for_each_object_alone(
    result: Result, statuses: Sequence[int], scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=statuses, comment="see the log")
    found = outcomes(peer, parcels([IMAGES[0]] * len(statuses)))
    assert [one.result for one in found] == [result] * len(statuses)
    assert [one.status for one in found] == list(statuses)
    assert [one.message for one in found] == [f"{describe(s)}: see the log" for s in statuses]
    # None of these says anything of the association or of the next object.
    assert len(scp.associations) == 1
    assert len(scp.stored) == len(statuses)


@pytest.mark.parametrize("status", [0xA700, 0xA701, 0xA7FF])
def test_F15_a_station_out_of_resources_is_left_alone_after_two(
    status: int, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(statuses=(status,))
    assert results(peer, parcels(IMAGES)) == [B] * 6
    assert len(scp.stored) == 2


def test_F15_busy_counts_in_a_row_only(scp: ScriptedScp, peer: DicomPeer) -> None:
    scp.script = Script(statuses=(0xA700, 0x0000, 0xA700, 0xC000, 0xA700, 0x0000))
    assert results(peer, parcels(IMAGES)) == [B, D, B, X, B, D]


def test_F15_dcm4chee_says_of_an_object_what_others_say_of_room(scp: ScriptedScp) -> None:
    peer = DicomPeer(station(scp.port, profile="dcm4chee"), peer_context())
    scp.script = Script(statuses=(0xA770, 0xA771, 0xA77A, 0xA774, 0x0000))
    assert results(peer, parcels(IMAGES[:5])) == [D, X, R, D, D]
    peer.close()


def made_in(syntax: str) -> Synthetic:
    return instance(1, rows=8, columns=8, transfer_syntax_uid=syntax)


# What is sent for each source when the station accepts only these: None is "dead, and says why".
FALLBACKS = {
    IMPLICIT: [((IMPLICIT, EXPLICIT), IMPLICIT), ((EXPLICIT,), EXPLICIT), ((DEFLATED,), None)],
    EXPLICIT: [((EXPLICIT, IMPLICIT), EXPLICIT), ((IMPLICIT,), IMPLICIT), ((BIG,), None)],
    BIG: [((BIG, EXPLICIT), BIG), ((EXPLICIT, IMPLICIT), EXPLICIT), ((IMPLICIT,), IMPLICIT)],
    DEFLATED: [((DEFLATED,), DEFLATED), ((EXPLICIT, IMPLICIT), EXPLICIT), ((IMPLICIT,), IMPLICIT)],
    # Compressed pixels are never touched, so there is nothing to fall back to.
    JPEG_BASELINE: [((JPEG_BASELINE, EXPLICIT), JPEG_BASELINE), ((EXPLICIT, IMPLICIT), None)],
    JPEG_2000_LOSSLESS: [((JPEG_BASELINE, EXPLICIT), None)],
    RLE_LOSSLESS: [((RLE_LOSSLESS,), RLE_LOSSLESS), ((), None)],
}


@pytest.mark.parametrize(
    ("source", "accepts", "sent"),
    [(source, *case) for source, cases in FALLBACKS.items() for case in cases],
)
def test_F16_fallback_contexts(
    source: str, accepts: Sequence[str], sent: str | None, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(
        accept=lambda _, offered: next((uid for uid in offered if uid in accepts), None)
    )
    image = made_in(source)
    (outcome,) = outcomes(peer, [parcel(image)])
    if sent is None:
        assert outcome.result is X
        assert "accepts no context for" in outcome.message
        assert scp.stored == []
        return
    assert outcome.result is D
    (stored,) = scp.stored
    assert stored.transfer_syntax_uid == sent
    if sent == source:
        assert stored.sha256 == hashlib.sha256(image.data_set).hexdigest()


@pytest.mark.parametrize("source", [*NATIVE, JPEG_BASELINE])
def test_each_context_proposes_one_syntax_so_that_it_is_known_which_was_accepted(
    source: str, scp: ScriptedScp, peer: DicomPeer
) -> None:
    results(peer, [parcel(made_in(source))])
    offered = [syntaxes for _, syntaxes, _ in scp.associations[0].contexts.values()]
    assert all(len(syntaxes) == 1 for syntaxes in offered)
    assert offered[0] == (source,)
    lossless = () if source == JPEG_BASELINE else (EXPLICIT, IMPLICIT)
    assert {one for (one,) in offered} == {source, *lossless}


def test_objects_of_several_syntaxes_share_an_association_each_in_its_own(
    scp: ScriptedScp, peer: DicomPeer
) -> None:
    images = [made_in(syntax) for syntax in (EXPLICIT, JPEG_BASELINE, RLE_LOSSLESS, IMPLICIT)]
    assert results(peer, parcels(images)) == [D] * 4
    assert [one.transfer_syntax_uid for one in scp.stored] == [
        image.transfer_syntax_uid for image in images
    ]
    assert len(scp.associations) == 1


class Poisoned(ScriptedScp):
    """Aborts, or closes, whenever one certain object is stored."""

    def __init__(self, poison: str, reaction: Answer) -> None:
        self._poison, self._reaction = poison, reaction
        super().__init__()

    def _answer(self, sock, script, request, answer) -> bool:  # type: ignore[no-untyped-def]
        is_poison = request.command.get(0x1000) == self._poison
        return super()._answer(sock, script, request, self._reaction if is_poison else answer)


@pytest.mark.parametrize("reaction", ["abort", "close", "garbage"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_F16_an_object_that_aborts_keeps_no_other_from_its_destination(
    reaction: str, place: int
) -> None:
    poison = IMAGES[place]
    with Poisoned(poison.sop_instance_uid, reaction) as scp:
        peer = DicomPeer(station(scp.port), peer_context())
        waiting = {number: parcel(image, number) for number, image in enumerate(IMAGES)}
        first = list(peer.send(list(waiting.values())))
        # Those before it are through, it alone has used an attempt, those behind are untried.
        expected = [D] * place + [R] + [U] * (5 - place)
        assert [one.result for one in first] == expected
        behind: list[Outcome] = []
        for number in range(place + 1, 6):
            behind += peer.send([waiting[number]])
        assert [one.result for one in behind] == [D] * (5 - place)
        delivered = [one.sop_instance_uid for one in scp.stored if one.answer == 0]
        assert len(delivered) == len(set(delivered)) == 6, "each came once, the odd one unanswered"
        peer.close()


@pytest.mark.parametrize("pdu", [1, 2, 3])
def test_F16_an_abort_at_the_first_pdus_is_a_lost_association_with_the_station_to_blame(
    pdu: int, scp: ScriptedScp, peer: DicomPeer
) -> None:
    # The first PDU is the command, the second most of the data set.
    scp.script = Script(abort_at_pdu=pdu, max_pdu_bytes=1000)
    first, *others = outcomes(peer, parcels(IMAGES[:3]))
    assert (first.result, first.status) == (R, None)
    assert "the association was lost" in first.message
    assert [one.result for one in others] == [U, U]
    scp.script = Script()
    assert results(peer, parcels(IMAGES[:3])) == [D] * 3


@pytest.mark.parametrize("max_pdu_bytes", [0, 7, 4096])
def test_F16_any_maximum_pdu_carries_the_same_bytes(
    max_pdu_bytes: int, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(max_pdu_bytes=max_pdu_bytes)
    assert results(peer, parcels(IMAGES[:1])) == [D]
    assert scp.stored[0].sha256 == hashlib.sha256(IMAGES[0].data_set).hexdigest()
    assert scp.largest_pdu_bytes <= (max_pdu_bytes or 1 << 20)


@pytest.mark.parametrize("max_pdu_bytes", [1, 6])
def test_F16_a_maximum_pdu_without_room_holds_the_station(
    max_pdu_bytes: int, scp: ScriptedScp, peer: DicomPeer
) -> None:
    scp.script = Script(max_pdu_bytes=max_pdu_bytes)
    held, *others = outcomes(peer, parcels(IMAGES[:3]))
    assert held.result is H
    assert "leaves no room for data" in held.message
    assert [one.result for one in others] == [H, H]
    assert len(scp.associations) == 1
