"""Every input that ever did harm, or nearly, once more: files named TARGET.OUTCOME.WHAT.bin.

Outcome is `taken` or `refused`; a crash found by a fuzzer becomes a file here. Targets are those of
the two fuzz suites: the four of DIMSE, and for data sets the transfer syntax to read them in.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from router.errors import BadDataset, ProtocolError
from tests.fuzz.test_dicom_header import attack, read
from tests.fuzz.test_dimse_reader import TARGETS
from tests.property.test_dimse_chunking import events
from tests.support.elements import BIG, DEFLATED, EXPLICIT, IMPLICIT

FOLDER = Path(__file__).parent / "regressions"
SYNTAXES = {"implicit": IMPLICIT, "explicit": EXPLICIT, "big": BIG, "deflated": DEFLATED}
SYNTAXES |= {"jpeg": "1.2.840.10008.1.2.4.50"}
FILES = sorted(path.name for path in FOLDER.glob("*.bin"))


def outcome(target: str, data: bytes) -> str:
    """What becomes of the bytes; anything but a typed error is the test's failure."""
    if target == "messages":
        # The reader of messages ends every run with a fault; a mere end of the bytes is none.
        kind, *_ = events(data, [])[-1]
        return "taken" if kind == "Closed" else "refused"
    try:
        if target in SYNTAXES:
            read(data, SYNTAXES[target])
        else:
            TARGETS[target](data)
    except (BadDataset, ProtocolError):
        return "refused"
    return "taken"


@pytest.mark.parametrize("name", FILES)
def test_what_once_did_harm_does_none(name):
    target, expected, _, suffix = name.split(".")
    assert suffix == "bin"
    data = (FOLDER / name).read_bytes()
    began = time.perf_counter()
    assert outcome(target, data) == expected
    if target in SYNTAXES:
        attack(data, SYNTAXES[target])
    assert time.perf_counter() - began < 2.0


def test_there_are_seeds_for_every_target():
    assert {name.split(".")[0] for name in FILES} == {*TARGETS, *SYNTAXES}
