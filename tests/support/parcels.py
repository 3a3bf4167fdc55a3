"""Parcels for peers, made of synthetic objects: what the router would hand to a station."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from router.clock import Clock
from router.dicom.outgoing import OutgoingDataSet, prepare
from router.errors import RouterError
from router.model.delivery import Leased, Outcome, Priority, Result
from router.model.instance import RecordRef
from router.model.station import Secret
from router.peers.peer import Parcel, Peer, PeerContext, may_leave_in
from tests.support.synthetic import Synthetic

SECRETS = {"cloud-secret": "canary-s3cret-value", "changed": "another-canary"}


def read_secret(secret: Secret) -> str:
    """The secret of this name; KeyError when there is none."""
    return SECRETS[secret.name]


def peer_context(
    clock: Clock | None = None,
    *,
    read: Callable[[Secret], str] = read_secret,
    tls: object = None,
) -> PeerContext:
    """What a peer is made with."""
    return PeerContext(
        calling_ae_title="EDGE_A",
        read_secret=read,
        clock=clock or Clock(),
        tls=tls or {},  # type: ignore[arg-type]
    )


def parcel(
    found: Synthetic,
    delivery_id: int = 1,
    *,
    attempts: int = 0,
    priority: Priority = Priority.MEDIUM,
    fails: RouterError | None = None,
    breaks: RouterError | None = None,
) -> Parcel:
    """A parcel of this object. `fails`: raised when opened; `breaks`: raised amid its bytes."""
    data = found.data_set
    leased = Leased(
        delivery_id=delivery_id,
        instance_id=delivery_id,
        station="cloud",
        recipe_digest="none",
        priority=priority,
        attempts=attempts,
        created_at=0.0,
        record=RecordRef(0, 0, len(data)),
        sop_class_uid=found.sop_class_uid,
        sop_instance_uid=found.sop_instance_uid,
        study_instance_uid=found.study_instance_uid,
        transfer_syntax_uid=found.transfer_syntax_uid,
        data_set_length=len(data),
    )

    def outgoing(transfer_syntax_uid: str | None) -> OutgoingDataSet:
        if fails is not None:
            raise fails
        made = prepare(
            lambda offset, length: data[offset : offset + length],
            len(data),
            found.transfer_syntax_uid,
            transfer_syntax_uid or found.transfer_syntax_uid,
            None,
            (found.sop_class_uid, found.sop_instance_uid, found.study_instance_uid),
        )
        if breaks is None:
            return made

        def broken() -> Iterator[bytes | memoryview]:
            yield data[: len(data) // 2]
            raise breaks

        return OutgoingDataSet(
            made.transfer_syntax_uid,
            made.sop_class_uid,
            made.sop_instance_uid,
            made.study_instance_uid,
            made.length,
            broken,
        )

    return Parcel(leased, outgoing, may_leave_in(found.transfer_syntax_uid))


def parcels(found: Sequence[Synthetic]) -> list[Parcel]:
    """One parcel each; the delivery ids count from 1."""
    return [parcel(one, number) for number, one in enumerate(found, 1)]


def results(peer: Peer, sent: Sequence[Parcel]) -> list[Result]:
    """The results in the order of the parcels; every parcel must have exactly one outcome."""
    return [outcome.result for outcome in outcomes(peer, sent)]


def outcomes(peer: Peer, sent: Sequence[Parcel]) -> list[Outcome]:
    """The outcomes in the order of the parcels; every parcel must have exactly one."""
    found = list(peer.send(sent))
    by_id = {outcome.delivery_id: outcome for outcome in found}
    assert len(found) == len(by_id) == len(sent), found
    return [by_id[one.leased.delivery_id] for one in sent]
