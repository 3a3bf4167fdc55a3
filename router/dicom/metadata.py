"""A header as DICOM JSON (PS3.18 annex F), with addresses in the place of bulk data.

pydicom decodes and writes it: metadata are asked for seldom, and its rules are the common ones. What
it cannot write is left out, attribute by attribute, rather than refusing the whole.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from router.dicom.part10 import file_meta
from router.errors import BadDataset

MAX_INLINE_BYTES: Final = 1024
# All that pydicom is known to raise at bytes that are not what they claim.
UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_CHARACTER_SET: Final = 0x00080005
_PIXEL_DATA: Final = 0x7FE00010
# Texts of a document are UTF-8, whatever they are stored in (PS3.18 F.2, PS3.19 A.1.6).
UTF_8: Final = "ISO_IR 192"

Address = Callable[[str], str]


def metadata_of(
    header: bytes,
    transfer_syntax_uid: str,
    address: Address,
    *,
    has_pixel_data: bool,
) -> dict[str, Any]:
    """The JSON members of a data set given up to its Pixel Data.

    `address` gives the URL of bulk data by its path, such as `7FE00010`. Raises BadDataset.
    """
    with _decoding():
        found = _members(read_header(header, transfer_syntax_uid), "", address)
    if has_pixel_data:
        key = f"{_PIXEL_DATA:08X}"
        found[key] = {"vr": "OW", "BulkDataURI": address(key)}
    return dict(sorted(found.items()))


def bulk_value(header: bytes, transfer_syntax_uid: str, path: str) -> bytes | None:
    """The bytes of the value at such a path, in Little Endian; None where there is none.

    Raises BadDataset where the header cannot be decoded.
    """
    with _decoding():
        data_set: Dataset = read_header(header, transfer_syntax_uid)
        steps = path.split("/")
        for tag, number in zip(steps[:-1:2], steps[1::2], strict=False):
            items = data_set.get(int(tag, 16)).value if int(tag, 16) in data_set else ()
            if not number.isdigit() or not 0 < int(number) <= len(items):
                return None
            data_set = items[int(number) - 1]
        element = data_set.get(int(steps[-1], 16))
        if element is None or element.VR == "SQ":
            return None
        value = element.value
        return value if isinstance(value, bytes) else _written(element)


def _written(element: DataElement) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element)
    head = 12 if element.VR in EXPLICIT_VR_LENGTH_32 else 8
    return bytes(buffer.getvalue()[head:])


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UNREADABLE as error:
        raise BadDataset(f"its header cannot be decoded: {type(error).__name__}") from None


def read_header(header: bytes, transfer_syntax_uid: str) -> Dataset:
    """The data set up to its pixels; raises whatever pydicom does."""
    whole = file_meta("", "", transfer_syntax_uid) + header
    return dcmread(io.BytesIO(whole), stop_before_pixels=True, force=True)


def _members(data_set: Dataset, above: str, address: Address) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in data_set:
        if element.tag.group == 2 or element.tag.element == 0:
            continue
        if element.tag == _CHARACTER_SET:
            found[f"{_CHARACTER_SET:08X}"] = {"vr": "CS", "Value": [UTF_8]}
            continue
        key = f"{int(element.tag):08X}"
        member = _member(element, f"{above}{key}", address)
        if member is not None:
            found[key] = member
    return found


def _member(element: DataElement, path: str, address: Address) -> dict[str, Any] | None:
    if element.VR == "SQ":
        items = [
            _members(item, f"{path}/{number}/", address)
            for number, item in enumerate(element.value, 1)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    try:
        member: dict[str, Any] = element.to_json_dict(
            lambda _: address(path), bulk_data_threshold=MAX_INLINE_BYTES
        )
        json.dumps(member, allow_nan=False)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None
    return member
