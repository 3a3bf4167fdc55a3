"""What a frame may be before anything is allocated for it, and what a codec child may use."""

from __future__ import annotations

from typing import Final

from router.dicom.frames import PixelFacts
from router.errors import BadDataset

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
MAX_SECONDS: Final = 60
MAX_MEMORY_BYTES: Final = 2 * 1024**3
IDLE_SECONDS: Final = 60.0
# Where a value length has 32 bits, and 0xFFFFFFFF says undefined (PS3.5 7.1.1).
MAX_VALUE_BYTES: Final = 0xFFFFFFFE
_BITS: Final = frozenset({1, 8, 16, 32})
_MAX_SIDE: Final = 65_535


def check(facts: PixelFacts) -> None:
    """Raise BadDataset where such pixels are not touched."""
    if not (0 < facts.rows <= _MAX_SIDE and 0 < facts.columns <= _MAX_SIDE):
        raise BadDataset(f"it has {facts.rows} rows and {facts.columns} columns")
    if facts.samples not in (1, 3) or facts.bits_allocated not in _BITS:
        raise BadDataset(
            f"pixels of {facts.samples} samples of {facts.bits_allocated} bits are not decoded"
        )
    if facts.bits_allocated == 1 and facts.samples != 1:
        raise BadDataset("colour pixels of 1 bit are not decoded")
    if not 0 < facts.bits_stored <= facts.bits_allocated:
        raise BadDataset(f"{facts.bits_stored} bits are stored in {facts.bits_allocated}")
    pixels = facts.rows * facts.columns * facts.samples
    if pixels * max(8, facts.bits_allocated) // 8 > MAX_FRAME_BYTES:
        raise BadDataset(
            f"its frames of {facts.rows} × {facts.columns} are larger than the "
            f"{MAX_FRAME_BYTES >> 20} MiB that are decoded at once"
        )
