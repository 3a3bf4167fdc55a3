"""Setting three tags must not cost more for a large image than for a small one.

`router.dicom` prepares what leaves, from a source that makes up its pixels, so that neither disk
nor memory is measured: a cost that grows with the image can only come from touching its pixels.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from statistics import median

from router.dicom.dataset import EditableDataSet
from router.dicom.outgoing import prepare
from router.dicom.tags import parse_path
from tests.bench import bars
from tests.support import synthetic

SMALL_BYTES, LARGE_BYTES = 512 << 10, 500 << 20
TURNS = 300
_TAGS = tuple(map(parse_path, ("InstitutionName", "StationName", "AccessionNumber")))


def cost() -> Mapping[str, float]:
    """The time for 500 MB ÷ the time for 0.5 MB; medians of turns taken one after the other."""
    sources = [_source(SMALL_BYTES), _source(LARGE_BYTES)]
    seconds: list[list[float]] = [[], []]
    for turn in range(TURNS):
        which = turn % 2
        began = time.perf_counter()
        _prepare(*sources[which])
        seconds[which].append(time.perf_counter() - began)
    return {bars.MORPH_SIZE: median(seconds[1]) / median(seconds[0])}


def _edit(data_set: EditableDataSet) -> None:
    for path in _TAGS:
        data_set.set(path, ("BENCH",))


def _prepare(read: Callable[[int, int], bytes], length: int) -> None:
    outgoing = prepare(
        read,
        length,
        synthetic.EXPLICIT_VR_LITTLE_ENDIAN,
        synthetic.EXPLICIT_VR_LITTLE_ENDIAN,
        _edit,
        ("1.2.3", "1.2.4", "1.2.5"),
    )
    next(iter(outgoing.chunks()))


def _source(total_bytes: int) -> tuple[Callable[[int, int], bytes], int]:
    """A header of its own and pixels that are made when they are read; its length."""
    _, chunks = synthetic.large_chunks(1, total_bytes)
    header = next(chunks)
    pixel_bytes = int.from_bytes(header[-4:], "little")
    noise = next(itertools.islice(chunks, 1))

    def read(offset: int, length: int) -> bytes:
        taken = header[offset : offset + length]
        rest = length - len(taken)
        return taken + (noise * (rest // len(noise) + 1))[:rest] if rest else taken

    return read, len(header) + pixel_bytes
