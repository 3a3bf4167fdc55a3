"""Drawing: windows, look-up tables, inversion, palettes, colour, viewports; against hand-made pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset

from router.dicom.frames import PixelFacts
from router.errors import BadDataset
from router.pixels.codecs import Codecs

EXPLICIT = "1.2.840.10008.1.2.1"
RAMP = np.arange(256, dtype="<u2").reshape(16, 16) * 16  # 0 to 4080


@pytest.fixture(scope="module")
def codecs() -> Iterator[Codecs]:
    made = Codecs()
    yield made
    made.close()


def facts_of(pixels: np.ndarray, photometric: str, **more: int) -> PixelFacts:
    bits = pixels.itemsize * 8
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    usual = {"bits_stored": min(bits, 12) if bits > 8 else bits} | more
    return PixelFacts(
        pixels.shape[0], pixels.shape[1], samples, bits, 1,
        photometric_interpretation=photometric, **usual,
    )  # fmt: skip


def drawn(
    codecs: Codecs, pixels: np.ndarray, photometric: str = "MONOCHROME2", header=None, **wish
) -> np.ndarray:
    """The picture of these pixels as an array."""
    data_set = header or Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = EXPLICIT
    data_set.PhotometricInterpretation = photometric
    data_set.PixelRepresentation = 0
    data_set.BitsStored = 12
    whole = io.BytesIO()
    pydicom.dcmwrite(
        whole, data_set, enforce_file_format=False, implicit_vr=False, little_endian=True
    )
    body = whole.getvalue()
    at = body.find(b"\x02\0\x10\0")
    start = 0 if at < 0 else at + 8 + int.from_bytes(body[at + 6 : at + 8], "little")
    facts = facts_of(pixels, photometric)
    wish = {"frame": 1, "media_type": "image/png"} | wish
    answer = codecs.draw(body[start:], pixels.tobytes(), (EXPLICIT, EXPLICIT), facts, wish)
    return np.asarray(Image.open(io.BytesIO(answer)))


def header(**values: object) -> Dataset:
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def test_without_a_window_it_goes_from_darkest_to_brightest(codecs: Codecs) -> None:
    assert np.array_equal(drawn(codecs, RAMP), RAMP // 16)
    padded = RAMP.copy()
    padded[0, 0] = 60_000
    seen = drawn(codecs, padded, header=header(PixelPaddingValue=60_000))
    assert (seen[0, 1], seen[-1, -1]) == (0, 255), "padding is not the brightest"


def test_monochrome1_and_presentation_shape_decide_which_end_is_white(codecs: Codecs) -> None:
    assert np.array_equal(drawn(codecs, RAMP, "MONOCHROME1"), 255 - RAMP // 16)
    inverse = header(PresentationLUTShape="INVERSE")
    assert np.array_equal(drawn(codecs, RAMP, "MONOCHROME1", inverse), 255 - RAMP // 16)
    identity = header(PresentationLUTShape="IDENTITY")
    assert np.array_equal(drawn(codecs, RAMP, "MONOCHROME1", identity), RAMP // 16)


@pytest.mark.parametrize("where", ["header", "wish"])
@pytest.mark.parametrize(
    ("function", "at_centre"), [("linear", 128), ("linear-exact", 128), ("sigmoid", 128)]
)
def test_a_window_by_its_function(
    codecs: Codecs, where: str, function: str, at_centre: int
) -> None:
    values = header(RescaleSlope=1, RescaleIntercept=-1024)
    wish = {}
    if where == "wish":
        wish["window"] = (976.0, 400.0, function)
        values.WindowCenter, values.WindowWidth = 0, 1
    else:
        values.WindowCenter, values.WindowWidth = [976, 5], [400, 5]
        values.VOILUTFunction = function.upper().replace("-", "_")
    seen = drawn(codecs, RAMP, header=values, **wish).astype(int)
    flat = seen.ravel()
    assert abs(flat[125] - at_centre) <= 1, "2000 - 1024 is the centre"
    # 64 of 400 above the centre: 0.66 of the way, or 1 / (1 + e^-0.64).
    share = 0.654753 if function == "sigmoid" else 0.66
    assert abs(flat[129] - share * 255) <= 2
    assert np.all(np.diff(flat) >= 0)
    if function != "sigmoid":
        assert (flat[100], flat[140]) == (0, 255)


def test_a_voi_lut_maps_what_is_inside_and_holds_at_its_ends(codecs: Codecs) -> None:
    lut = Dataset()
    lut.LUTDescriptor = [256, 1000, 12]
    lut.add_new(0x00283006, "US", [4095 - 16 * number for number in range(256)])
    seen = drawn(codecs, RAMP, header=header(VOILUTSequence=[lut])).ravel()
    assert (seen[0], seen[-1]) == (255, round((4095 - 16 * 255) / 4095 * 255))
    assert seen[63] == round((4095 - 16 * 8) / 4095 * 255), "1008 is entry 8"


def test_palette_and_colour(codecs: Codecs) -> None:
    palette = header(
        RedPaletteColorLookupTableDescriptor=[256, 0, 16],
        GreenPaletteColorLookupTableDescriptor=[256, 0, 16],
        BluePaletteColorLookupTableDescriptor=[256, 0, 16],
    )
    ramp = (np.arange(256, dtype="<u2") * 256).tobytes()
    palette.RedPaletteColorLookupTableData = ramp
    palette.GreenPaletteColorLookupTableData = ramp[::-1][1:] + b"\0"
    palette.BluePaletteColorLookupTableData = bytes(512)
    index = np.arange(256, dtype="u1").reshape(16, 16)
    seen = drawn(codecs, index, "PALETTE COLOR", palette)
    assert np.array_equal(seen[..., 0], index)
    assert not seen[..., 2].any()
    rgb = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype="u1")
    assert np.array_equal(drawn(codecs, rgb, "RGB"), rgb)
    grey = np.full((16, 16, 3), 128, dtype="u1")
    grey[..., 0] = 77
    assert np.array_equal(drawn(codecs, grey, "YBR_FULL"), np.full((16, 16, 3), 77))


def test_functional_groups_of_the_frame_count(codecs: Codecs) -> None:
    def group(centre: int) -> Dataset:
        window = header(WindowCenter=centre, WindowWidth=400)
        return header(FrameVOILUTSequence=[window])

    groups = header(PerFrameFunctionalGroupsSequence=[group(4000), group(200)])
    assert drawn(codecs, RAMP, header=groups, frame=1).mean() < 20
    groups = header(PerFrameFunctionalGroupsSequence=[group(4000), group(200)])
    assert drawn(codecs, RAMP, header=groups, frame=2).mean() > 230


def test_a_viewport_keeps_proportions_and_may_cut_and_mirror(codecs: Codecs) -> None:
    wide = np.tile(np.arange(32, dtype="<u2") * 100, (16, 1))
    assert drawn(codecs, wide, viewport=[64, 64]).shape == (32, 64)
    assert drawn(codecs, wide, viewport=[8, 8]).shape == (4, 8)
    cut = drawn(codecs, wide, viewport=[16, 16], region=[16, 0, 16, 16])
    assert cut.shape == (16, 16)
    assert cut[0, 0] > 100
    mirrored = drawn(codecs, wide, viewport=[32, 16], region=[0, 0, -32, 16])
    assert np.all(np.diff(mirrored[0].astype(int)) <= 0)
    with pytest.raises(BadDataset, match="outside"):
        drawn(codecs, wide, viewport=[8, 8], region=[40, 0, 4, 4])


def test_the_quality_of_jpeg_is_that_which_was_asked_for(codecs: Codecs) -> None:
    noise = np.random.default_rng(2).integers(0, 4096, (64, 64), dtype="<u2")
    sizes = []
    for quality in (5, 95):
        answer = codecs.draw(
            b"", noise.tobytes(), (EXPLICIT, EXPLICIT), facts_of(noise, "MONOCHROME2"),
            {"frame": 1, "media_type": "image/jpeg", "quality": quality},
        )  # fmt: skip
        assert Image.open(io.BytesIO(answer)).format == "JPEG"
        sizes.append(len(answer))
    assert sizes[0] * 3 < sizes[1]
