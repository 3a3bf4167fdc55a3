"""The data sets: seeded, realistic headers of about a hundred elements, random pixels.

A set is a file of templates that differ, each a data set in Explicit VR Little Endian. Whoever
sends patches instance, series and study numbers into ten digits kept for them, so that thousands
of instances need no memory of their own. Equal seeds give equal bytes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support import synthetic

DIGITS = 10
INSTANCE_UID = f"{synthetic.UID_ROOT}.7.1{'8' * DIGITS}"
SERIES_UID = f"{synthetic.UID_ROOT}.8.1{'7' * DIGITS}"
STUDY_UID = f"{synthetic.UID_ROOT}.6.1{'6' * DIGITS}"
INSTANCES_PER_STUDY = 250
_CHANGES: synthetic.Elements = {
    0x00080018: ("UI", INSTANCE_UID),
    0x0020000D: ("UI", STUDY_UID),
    0x0020000E: ("UI", SERIES_UID),
}
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class DataSets:
    """One set on disk: `count` instances made from the templates at `offsets` of `path`.

    `offsets` has one entry more than there are templates: the end of the last.
    """

    name: str
    path: str
    count: int
    sop_class_uid: str
    offsets: tuple[int, ...]

    @property
    def megabytes(self) -> float:
        """Mean size of an instance, in MB of 1,000,000 bytes."""
        return self.offsets[-1] / (len(self.offsets) - 1) / _MEGABYTE

    def as_json(self) -> str:
        """For a sender in another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DataSets:
        """What `as_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "offsets": tuple(fields["offsets"])})


def build(folder: Path, *, quick: bool) -> dict[str, DataSets]:
    """Write S (64 KB MR), M (0.5 MB CT), L (100 MB multi-frame) and, unless quick, G (one of 1 GB).

    The quick form has fewer, and a smaller L.
    """
    large_bytes, large_count = (32 << 20, 2) if quick else (100 << 20, 8)
    sets = {
        "S": _write(folder, "S", 300 if quick else 2000, _images("MR", 180, templates=32)),
        "M": _write(folder, "M", 80 if quick else 500, _images("CT", 512, templates=16)),
        "L": _write(folder, "L", large_count, [_large(large_bytes)]),
    }
    if not quick:
        sets["G"] = _write(folder, "G", 1, [_large(1 << 30)])
    return sets


def build_tiny(folder: Path) -> DataSets:
    """A set of 5 KB CT for those who count instances; as many as are asked for."""
    return _write(folder, "T", 1, _images("CT", 16, templates=4))


def build_sized(folder: Path, total_bytes: int) -> DataSets:
    """A set of one CT of about this size, at least 16 KB."""
    if total_bytes > 4 << 20:
        return _write(folder, f"B{total_bytes}", 1, [_large(total_bytes)])
    rows = round((total_bytes / 2) ** 0.5)
    return _write(folder, f"B{total_bytes}", 1, _images("CT", rows, templates=1))


def _images(modality: str, rows: int, *, templates: int) -> Iterator[tuple[str, list[bytes]]]:
    for seed in range(templates):
        item = synthetic.instance(
            seed, modality=modality, rows=rows, columns=rows, changes=_CHANGES
        )
        yield item.sop_class_uid, [item.data_set]


def _large(total_bytes: int) -> tuple[str, Iterator[bytes]]:
    facts, chunks = synthetic.large_chunks(1, total_bytes)
    header = next(chunks)
    for old, new in (
        (facts.sop_instance_uid, INSTANCE_UID),
        (facts.study_instance_uid, STUDY_UID),
        (facts.series_instance_uid, SERIES_UID),
    ):
        header = _replace_uid(header, old, new)
    return facts.sop_class_uid, itertools.chain([header], chunks)


def _replace_uid(header: bytes, old: str, new: str) -> bytes:
    """Replace a UID element's value and length, in Explicit VR Little Endian (PS3.5 7.1.2)."""
    before, after = _ui(old), _ui(new)
    assert header.count(before) == 1, f"{old} is not there once"
    return header.replace(before, after)


def _ui(uid: str) -> bytes:
    raw = uid.encode() + b"\0" * (len(uid) % 2)
    return b"UI" + len(raw).to_bytes(2, "little") + raw


def _write(
    folder: Path, name: str, count: int, templates: Iterable[tuple[str, Iterable[bytes]]]
) -> DataSets:
    path = folder / f"set-{name}.bin"
    offsets, sop_class_uid = [0], ""
    with open(path, "wb") as output:
        for sop_class_uid, chunks in templates:
            for chunk in chunks:
                output.write(chunk)
            offsets.append(output.tell())
    return DataSets(name, str(path), count, sop_class_uid, tuple(offsets))
