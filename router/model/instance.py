"""Instance: one SOP instance we hold; Source: who sent it; RecordRef: where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# In the place of a listener's name: fetched from a station that cannot send; a note of our own.
RETRIEVED: Final = "(retrieved)"
REJECTED_HERE: Final = "reject"


@dataclass(frozen=True, slots=True)
class Source:
    """Who is at the other end of an association or request, as far as it was checked.

    `station` is the name of the configured station, or None where a listener accepts anyone.
    """

    listener: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    station: str | None = None
    tls_subject: str | None = None


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Where a record lies in the journal: segment number, byte offset, byte length.

    `record_id` is the 16 bytes at the head of the record; when it is known, another record found
    at that place is refused. It stays the same when a record is copied forward.
    """

    segment: int
    offset: int
    length: int
    record_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Instance:
    """The facts of one instance, read from its header while it arrived.

    Lengths are bytes of the data set as received. `header_length` is where the header ends: the
    offset of Pixel Data, or the whole length when there is none. `content_digest` is BLAKE3 of the
    data set (32 bytes). `assumed_character_set` is the one its station is configured with, for texts
    of an object that declares none. Texts are empty where the attribute is absent. `patient_id`,
    `issuer_of_patient_id` and `accession_number` live in the sealed envelope only, never in the
    ledger.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    data_set_length: int
    header_length: int
    content_digest: bytes
    received_at: float
    source: Source
    assumed_character_set: str = ""
