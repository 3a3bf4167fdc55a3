"""The data sets of Storage Commitment: judged by pydicom, and what is wrong answered by its status."""

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from router.dimse import commitment
from router.errors import BadDataset
from router.model.commitment import CommitmentReport, CommitmentRequest, Reference

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
ONE, TWO = Reference(CT, "1.2.3"), Reference(CT, "1.2.4")


def encoded(data_set, implicit=True):
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, implicit
    write_dataset(file, data_set)
    return file.getvalue()


def item(reference, reason=None):
    made = Dataset()
    made.ReferencedSOPClassUID = reference.sop_class_uid
    made.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason is not None:
        made.FailureReason = reason
    return made


def asked(*references):
    made = Dataset()
    made.TransactionUID = "1.9"
    made.ReferencedSOPSequence = [item(one) for one in references]
    return made


@pytest.mark.parametrize(("syntax", "implicit"), [(IMPLICIT, True), (EXPLICIT, False)])
def test_what_we_write_pydicom_reads_and_the_other_way_round(syntax, implicit):
    data = commitment.encode_request(CommitmentRequest("1.9", (ONE, TWO)), syntax)
    assert data == encoded(asked(ONE, TWO), implicit)
    assert commitment.decode_request(data, syntax) == CommitmentRequest("1.9", (ONE, TWO))
    told = CommitmentReport("1.9", (ONE,), {TWO: 0x0112})
    report = asked(ONE)
    report.FailedSOPSequence = [item(TWO, 0x0112)]
    data = commitment.encode_report(told, syntax)
    assert data == encoded(report, implicit)
    assert commitment.decode_report(data, syntax) == told
    assert commitment.event_type(told) == 2


def test_an_instance_named_twice_is_asked_for_once():
    data = encoded(asked(ONE, ONE))
    assert commitment.decode_request(data, IMPLICIT).references == (ONE,)


def test_what_is_reported_as_both_is_not_committed():
    report = asked(ONE, TWO)
    report.FailedSOPSequence = [item(TWO)]
    told = commitment.decode_report(encoded(report), IMPLICIT)
    assert told.committed == (ONE,)
    assert told.failed == {TWO: 0x0110}, "a failure without a reason is one"


def test_no_sequence_is_written_empty():
    whole = commitment.encode_report(CommitmentReport("1.9", (ONE,)), IMPLICIT)
    assert whole == encoded(asked(ONE))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",
        b"\x08\x00\x99\x11\xff\xff\xff\x7f",
        encoded(asked()),
        encoded(asked(Reference(CT, "no UID"))),
        encoded(asked(Reference("", "1.2.3"))),
        encoded(asked(ONE))[:-3],
    ],
)
def test_what_is_no_request_is_an_invalid_argument(data):
    with pytest.raises(BadDataset) as refused:
        commitment.decode_request(data, IMPLICIT)
    assert refused.value.status == 0x0115
