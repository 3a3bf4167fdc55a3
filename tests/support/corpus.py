"""The shared corpus of real files beside the project, and what other toolkits make of each file.

It is used where it lies and never copied. Tests that need it skip loudly when it is absent.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import PROJECT

FOLDER = PROJECT.parent / "shared" / "dicom"
ABSENT = f"the shared corpus is not at {FOLDER}"


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file and the verdicts of DCMTK, dicom3tools and GDCM on it."""

    path: Path
    dcmdump: str
    storable: bool
    gdcminfo: str

    @property
    def name(self) -> str:
        """The path inside the corpus."""
        return self.path.relative_to(FOLDER).as_posix()


def is_present() -> bool:
    """Whether the corpus is on this machine."""
    return (FOLDER / "BASELINE.csv").is_file()


def files() -> tuple[CorpusFile, ...]:
    """Every file of BASELINE.csv, in its order; empty when the corpus is absent."""
    if not is_present():
        return ()
    with open(FOLDER / "BASELINE.csv", newline="", encoding="utf-8") as table:
        return tuple(
            CorpusFile(
                path=FOLDER / row["file"],
                dcmdump=row["dcmdump_3.6.7"],
                storable=row["dcmsend_to_storescp_3.6.7"] == "yes",
                gdcminfo=row["gdcminfo_3.0.21"],
            )
            for row in csv.DictReader(table)
        )


def required() -> tuple[CorpusFile, ...]:
    """As `files`, but skips the running test, loudly, when there are none."""
    found = files()
    if not found:
        pytest.skip(f"LOUD: {ABSENT}")
    return found
