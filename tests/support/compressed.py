"""Objects with compressed pixels, made of synthetic ones by pydicom and its codecs, not by ours."""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
from pydicom.dataset import Dataset

from tests.support.synthetic import Synthetic


def compressed(one: Synthetic, syntax: str) -> Synthetic:
    """The same object under the same UIDs in a compressed transfer syntax, without loss."""
    data_set = read(one)
    data_set.compress(syntax, generate_instance_uid=False)
    whole = io.BytesIO()
    data_set.save_as(whole)
    start = data_set_start(whole.getvalue())
    return replace(one, data_set=whole.getvalue()[start:], transfer_syntax_uid=syntax)


def read(one: Synthetic) -> Dataset:
    """What pydicom makes of an object."""
    return pydicom.dcmread(io.BytesIO(one.part10()))


def data_set_start(part10: bytes) -> int:
    """Where the data set begins in a file with a sound group length."""
    return 132 + 12 + int.from_bytes(part10[140:144], "little")
