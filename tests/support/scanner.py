"""A scanner that sends objects over one association, as few lines of a test as possible."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.support.data_set_bytes import data_set_bytes, meta_information
from tests.support.sender import Sender
from tests.support.synthetic import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Synthetic


def contexts_for(images: Iterable[Synthetic]) -> list[tuple[str, list[str]]]:
    """One presentation context per pair of SOP class and transfer syntax, as scanners propose."""
    pairs = {(image.sop_class_uid, image.transfer_syntax_uid) for image in images}
    return [(abstract, [transfer]) for abstract, transfer in sorted(pairs)]


def scan(
    port: int,
    images: Iterable[Synthetic],
    *,
    calling_ae_title: str = "CT1",
    called_ae_title: str = "EDGE_A",
) -> dict[str, int]:
    """Send them in order over one association: SOP Instance UID → the status that was answered."""
    images = list(images)
    answers: dict[str, int] = {}
    with Sender(
        port,
        contexts_for(images),
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
    ) as sender:
        for image in images:
            answers[image.sop_instance_uid] = sender.store(
                image.sop_class_uid,
                image.sop_instance_uid,
                image.transfer_syntax_uid,
                image.data_set,
            )
    return answers


def from_file(path: Path) -> Synthetic:
    """The object of a Part 10 file as it would be sent, its bytes untouched (study left empty).

    A deflated one gets the byte that makes its length even, where its file lacks it (PS3.5 A.5).
    """
    meta = meta_information(path)
    data_set = data_set_bytes(path)
    if meta.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        data_set += b"\0" * (len(data_set) % 2)
    return Synthetic(
        data_set=data_set,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        study_instance_uid="",
        series_instance_uid="",
    )
