"""A frame as people see it: an 8 bit image file (PS3.18 8.3.5); runs in the codec child.

The grey pipeline of PS3.4 N.2: modality, then the window that was asked for, or the window or VOI LUT
of the header, or all there is from darkest to brightest; then the presentation LUT. Colour comes out
as RGB. Of multi-frame objects the functional groups of the frame count.
"""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi,
    convert_color_space,
)

from router.dicom.frames import PixelFacts
from router.dicom.metadata import read_header
from router.errors import BadDataset
from router.pixels.convert import decoded

_GROUPS: Final = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}


def drawn(
    header: tuple[bytes, str], frame: tuple[bytes, str], facts: PixelFacts, wish: dict[str, Any]
) -> bytes:
    """The image file. `header` and `frame` are bytes with their transfer syntax.

    `wish` has `frame` (its number) and `media_type`, and perhaps `quality`, `window` (centre, width,
    function), `viewport` (width, height) and `region` (left, top, width, height).
    """
    pixels, facts = decoded(*frame, facts)
    data_set = _of_frame(read_header(*header), wish["frame"])
    if facts.samples == 3:
        image = Image.fromarray(_colour(pixels, facts))
    elif facts.photometric_interpretation == "PALETTE COLOR":
        entries = int(data_set.RedPaletteColorLookupTableDescriptor[2])
        mapped = apply_color_lut(pixels, data_set)
        image = Image.fromarray(_eight_bits(mapped, min(entries, mapped.dtype.itemsize * 8)))
    else:
        image = Image.fromarray(_grey(pixels, facts, data_set, wish.get("window")))
    if wish.get("viewport"):
        image = _in_viewport(image, wish["viewport"], wish.get("region"))
    out = io.BytesIO()
    quality = {"quality": wish.get("quality", 90)} if wish["media_type"] == "image/jpeg" else {}
    image.save(out, _FORMATS[wish["media_type"]], **quality)
    return out.getvalue()


def _of_frame(data_set: Dataset, number: int) -> Dataset:
    """The header with the grey values of this frame's functional groups at its top."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        items = data_set.get(name) or ()
        place = 0 if name.startswith("Shared") else number - 1
        group = items[place] if place < len(items) else Dataset()
        for one in _GROUPS:
            for element in (group.get(one) or (Dataset(),))[0]:
                data_set.add(element)
    return data_set


def _colour(pixels: Any, facts: PixelFacts) -> Any:
    rgb = _eight_bits(pixels, facts.bits_stored)
    if facts.photometric_interpretation.startswith("YBR_FULL"):
        rgb = convert_color_space(rgb, "YBR_FULL", "RGB")
    return rgb


def _eight_bits(values: Any, bits: int) -> Any:
    if bits > 8:
        values = values >> (bits - 8)
    return values.astype(np.uint8)


def _grey(pixels: Any, facts: PixelFacts, data_set: Dataset, window: Any) -> Any:
    values = np.asarray(apply_modality_lut(pixels, data_set), dtype=np.float64)
    luts = data_set.get("VOILUTSequence")
    centre, width = _first(data_set, "WindowCenter"), _first(data_set, "WindowWidth")
    if window is not None:
        shares = _windowed(values, *window)
    elif luts:
        entries, first, bits = luts[0].LUTDescriptor
        inside = np.clip(values, first, first + (entries or 65_536) - 1)
        shares = apply_voi(inside, data_set) / (2.0 ** int(bits) - 1)
    elif centre is not None and width:
        shares = _windowed(values, centre, width, str(data_set.get("VOILUTFunction") or "LINEAR"))
    else:
        shares = _stretched(values, pixels, data_set)
    grey = np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)
    shape = str(data_set.get("PresentationLUTShape") or "").upper()
    usual = "INVERSE" if facts.photometric_interpretation == "MONOCHROME1" else "IDENTITY"
    return 255 - grey if (shape or usual) == "INVERSE" else grey


def _first(data_set: Dataset, keyword: str) -> float | None:
    value = data_set.get(keyword)
    value = value[0] if isinstance(value, MultiValue) and value else value
    return None if value in (None, "") or isinstance(value, MultiValue) else float(value)


def _windowed(values: Any, centre: float, width: float, function: str) -> Any:
    """From 0 to 1 within the window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    function = function.upper().replace("-", "_")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width <= 0.0:
        return (values > centre).astype(np.float64)
    return (values - centre) / width + 0.5


def _stretched(values: Any, pixels: Any, data_set: Dataset) -> Any:
    """From 0 to 1 from the darkest to the brightest, padding aside (PS3.3 C.7.5.1.1.2)."""
    padding = data_set.get("PixelPaddingValue")
    seen = values if padding is None else values[pixels != int(padding)]
    if not seen.size:
        seen = values
    darkest, brightest = float(seen.min()), float(seen.max())
    return (values - darkest) / max(brightest - darkest, 1e-9)


def _in_viewport(image: Any, size: list[int], region: list[float] | None) -> Any:
    """The region, as large as fits into `size` with its proportions (PS3.18 8.3.5.1.3).

    A negative width or height of the region mirrors it.
    """
    if region is not None:
        left, top, wide, high = region
        wide, high = wide or image.width - left, high or image.height - top
        right, bottom = min(left + abs(wide), image.width), min(top + abs(high), image.height)
        if not (0 <= left < right and 0 <= top < bottom):
            raise BadDataset("the region of the viewport is outside of the image")
        image = image.crop((int(left), int(top), math.ceil(right), math.ceil(bottom)))
        image = ImageOps.mirror(image) if wide < 0 else image
        image = ImageOps.flip(image) if high < 0 else image
    share = min(size[0] / image.width, size[1] / image.height)
    fitting = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(fitting, Image.Resampling.BILINEAR, reducing_gap=2.0)
