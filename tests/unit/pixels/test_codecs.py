"""The codec children: what strangers' bytes can do to them, and what that costs the router."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicom.frames import PixelFacts
from router.errors import BadDataset, Busy, Undeliverable
from router.pixels import codecs as module
from router.pixels import limits, syntaxes
from router.pixels.codecs import Codecs

EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
J2K, JPEG, JPEG_LS = (f"1.2.840.10008.1.2.4.{number}" for number in (90, 50, 80))
FACTS = PixelFacts(
    rows=40, columns=32, samples=1, bits_allocated=16, frames=1, bits_stored=12,
    photometric_interpretation="MONOCHROME2",
)  # fmt: skip
FRAME = b"".join((number * 37 % 4096).to_bytes(2, "little") for number in range(40 * 32))


@pytest.fixture(scope="module")
def codecs() -> Iterator[Codecs]:
    made = Codecs()
    yield made
    made.close()


def pids() -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, check=False)
    return set(map(int, found.stdout.split()))


@pytest.mark.parametrize("syntax", [RLE, J2K, JPEG_LS])
def test_there_and_back_is_the_same(codecs: Codecs, syntax: str) -> None:
    coded, facts = codecs.convert(FRAME, EXPLICIT, syntax, FACTS)
    assert 0 < len(coded) != len(FRAME)
    assert codecs.convert(coded, syntax, EXPLICIT, facts)[0] == FRAME


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 60_000, "columns": 60_000}, "larger than the 256 MiB"),
        ({"rows": 65_535, "columns": 65_535, "samples": 3, "bits_allocated": 32}, "larger than"),
        ({"rows": 0}, "0 rows"),
        ({"columns": 999_999_999}, "999999999 columns"),
        ({"samples": 4}, "4 samples"),
        ({"bits_allocated": 128}, "128 bits"),
        ({"bits_stored": 17}, "17 bits are stored in 16"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_is_allocated(
    codecs: Codecs, changes: dict[str, int], words: str
) -> None:
    for syntax in (EXPLICIT, J2K):
        with pytest.raises(BadDataset, match=words):
            codecs.convert(b"x", syntax, EXPLICIT, replace(FACTS, **changes))


def test_an_image_larger_than_its_header_says_does_not_take_the_memory(codecs: Codecs) -> None:
    coded, _ = codecs.convert(FRAME, EXPLICIT, J2K, FACTS)
    at = coded.index(b"\xff\x51")
    # Its own size becomes 60,000 × 60,000 in one tile, whatever the header of the object says.
    large = (60_000).to_bytes(4, "big")
    lying = coded[: at + 6] + large * 2 + bytes(8) + large * 2 + coded[at + 30 :]
    began = time.monotonic()
    with pytest.raises(BadDataset, match="cannot be used"):
        codecs.convert(lying, J2K, EXPLICIT, FACTS)
    assert time.monotonic() - began < 30
    assert codecs.convert(coded, J2K, EXPLICIT, FACTS)[0] == FRAME


def start_that(does: str) -> str:
    """The start of a child whose codec does something else."""
    other = f"import os, time, router.pixels.child as c; c.converted = lambda *_: {does}; c.main()"
    return module._START.replace("main()", other)


def test_a_codec_that_crashes_costs_one_frame_and_is_started_again(monkeypatch) -> None:
    before = pids()
    codecs = Codecs(1)
    with monkeypatch.context() as change:
        change.setattr(module, "_START", start_that("os.kill(os.getpid(), 11)"))
        with pytest.raises(BadDataset, match="ended with SIGSEGV"):
            codecs.convert(FRAME, EXPLICIT, RLE, FACTS)
    coded, _ = codecs.convert(FRAME, EXPLICIT, RLE, FACTS)
    (child,) = pids() - before
    os.kill(child, signal.SIGKILL)  # while it idles, which costs nothing
    assert codecs.convert(coded, RLE, EXPLICIT, FACTS)[0] == FRAME
    codecs.close()
    assert pids() == before, "nothing is left behind"


def test_a_codec_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    start = start_that("time.sleep(60)").replace("c.main()", "c.MAX_SECONDS = 1; c.main()")
    monkeypatch.setattr(module, "_START", start)
    codecs = Codecs()
    with pytest.raises(BadDataset, match="longer than 60 s"):
        codecs.convert(FRAME, EXPLICIT, RLE, FACTS)
    codecs.close()


def test_whoever_waits_for_a_codec_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 0.1)
    with pytest.raises(Busy, match="all codecs"):
        Codecs(0).convert(FRAME, EXPLICIT, RLE, FACTS)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntaxes, "_is_there", lambda _module: False)
    with pytest.raises(Undeliverable, match=r"pip install 'dicom-router\[pixel\]'"):
        Codecs().convert(FRAME, EXPLICIT, RLE, FACTS)
    assert syntaxes.obstacle(RLE, EXPLICIT) == syntaxes.EXTRA


def test_a_child_has_no_secrets_and_little_room(codecs: Codecs, monkeypatch) -> None:
    monkeypatch.setenv("CANARY", "canary-secret")
    fresh = Codecs()
    before = pids()
    fresh.convert(FRAME, EXPLICIT, RLE, FACTS)
    (child,) = pids() - before
    assert b"canary" not in Path(f"/proc/{child}/environ").read_bytes()
    bounds = Path(f"/proc/{child}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split() for line in bounds.splitlines()}
    assert rows["Max core file size"][0] == rows["Max file size"][0] == "0"
    assert rows["Max address space"][0] == str(limits.MAX_MEMORY_BYTES)
    fresh.close()


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=300),
    syntax=st.sampled_from([one.uid for one in syntaxes.CODED]),
    rows=st.integers(0, 300),
    samples=st.integers(0, 4),
    bits=st.sampled_from([0, 1, 7, 8, 12, 16, 32, 64]),
    words=st.sampled_from(["MONOCHROME2", "RGB", "YBR_FULL_422", "PALETTE COLOR", "", "X"]),
)
def test_whatever_the_bytes_are_it_ends_in_a_frame_or_in_an_error(
    data, syntax, rows, samples, bits, words
) -> None:
    facts = replace(
        FACTS, rows=rows, samples=samples, bits_allocated=bits, bits_stored=bits,
        photometric_interpretation=words,
    )  # fmt: skip
    try:
        frame, _ = CHILDREN.convert(data, syntax, EXPLICIT, facts)
    except BadDataset:
        return
    assert len(frame) == rows * 32 * samples * bits // 8


CHILDREN = Codecs()


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    CHILDREN.close()
