"""One frame from one transfer syntax to another, by pydicom and its codecs; runs in the codec child.

Lossless stays lossless: sample values are those that were stored, whatever their colour space is.
Only JPEG 8 bit colour comes out as RGB, as other toolkits give it: its YCbCr is a form of the
compression. What comes out uncompressed is little endian and colour-by-pixel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID

from router.dicom.frames import PixelFacts
from router.dicom.transfer_syntax import layout_of
from router.errors import BadDataset
from router.pixels import limits

JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
_JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", _JPEG_EXTENDED})
# Mild on purpose: an error of two grey values, a tenth of the bytes.
_LOSSY: Final[dict[str, dict[str, Any]]] = {
    JPEG_LS_NEAR_LOSSLESS: {"jls_error": 2},
    JPEG_2000: {"j2k_cr": [10]},
}


def converted(
    frame: bytes, source_uid: str, target_uid: str, facts: PixelFacts
) -> tuple[bytes, PixelFacts]:
    """The frame in the target syntax, and its facts. Raises BadDataset, and what codecs raise."""
    pixels, facts = decoded(frame, source_uid, facts)
    if layout_of(target_uid).encapsulated:
        return _encoded(pixels, target_uid, facts), facts
    if facts.bits_allocated == 1:
        if pixels.size % 8:
            raise BadDataset("its frames of single bits do not end at bytes")
        return np.packbits(pixels, axis=None, bitorder="little").tobytes(), facts
    return pixels.tobytes(), facts


def decoded(frame: bytes, source_uid: str, facts: PixelFacts) -> tuple[Any, PixelFacts]:
    """An array of rows, columns and samples, of the bits allocated; and the facts of it."""
    limits.check(facts)
    layout = layout_of(source_uid)
    if source_uid == _JPEG_EXTENDED and facts.bits_stored > 8:
        raise BadDataset("JPEG Extended of more than 8 bits is not decoded")
    if not layout.little_endian and facts.bits_allocated == 8:
        raise BadDataset("pixels of 8 bits in big endian words are not decoded")
    if layout.encapsulated:
        frame = encapsulate([frame], has_bot=False)
    found, meta = get_decoder(UID(source_uid)).as_array(
        frame, index=0, raw=source_uid not in _JPEG, **_options(facts)
    )
    facts = replace(
        facts,
        planar_configuration=0,
        frames=1,
        photometric_interpretation=_native(str(meta["photometric_interpretation"])),
    )
    shape = (facts.rows, facts.columns) + ((facts.samples,) if facts.samples > 1 else ())
    if found.shape != shape:
        raise BadDataset("the frame is not of the size the header says")
    kind = "i" if facts.pixel_representation else "u"
    size = max(8, facts.bits_allocated) // 8
    if found.dtype.itemsize > size:
        raise BadDataset("the frame has more bits than the header says")
    return np.ascontiguousarray(found, dtype=f"<{kind}{size}"), facts


def _native(photometric: str) -> str:
    """4:2:2 is a form of storing; an array has all its samples."""
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


def _options(facts: PixelFacts) -> dict[str, Any]:
    options: dict[str, Any] = {
        "rows": facts.rows,
        "columns": facts.columns,
        "samples_per_pixel": facts.samples,
        "bits_allocated": facts.bits_allocated,
        "bits_stored": facts.bits_stored,
        "pixel_representation": facts.pixel_representation,
        "photometric_interpretation": facts.photometric_interpretation,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB" if facts.bits_allocated <= 8 else "OW",
    }
    if facts.samples > 1:
        options["planar_configuration"] = facts.planar_configuration
    return options


def _encoded(pixels: Any, target_uid: str, facts: PixelFacts) -> bytes:
    if facts.bits_allocated == 1:
        raise BadDataset("pixels of single bits are not compressed")
    encoder = get_encoder(UID(target_uid))
    options = _options(facts) | _LOSSY.get(target_uid, {})
    try:
        return bytes(encoder.encode(pixels.tobytes(), index=0, **options))
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise BadDataset(
            f"{facts.rows} × {facts.columns} pixels of {facts.bits_stored} bits cannot be encoded "
            f"({type(error).__name__})"
        ) from None
