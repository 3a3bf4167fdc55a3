"""Hot operations make no more calls than they did: a slow-down shows in review, on any machine.

    make test ARGS="tests/guard --accept-counts"

writes the counts of now into `baseline.json`, for a change that costs more on purpose.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from router.dicom import scan
from tests.guard.operations import counted, operations

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.03

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="counts are those of Python 3.11"
)


def test_no_hot_operation_makes_more_calls_than_before(tmp_path, request):
    found = {name: counted(operation) for name, operation in operations(tmp_path)}
    if request.config.getoption("--accept-counts"):
        BASELINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    assert found.keys() == known.keys(), "an operation came or went: --accept-counts"
    dearer = [
        f"{name}: {known[name]} calls before, {count} now"
        for name, count in found.items()
        if count > known[name] * (1 + TOLERANCE) + 1
    ]
    assert not dearer, "\n".join([*dearer, "on purpose? --accept-counts writes them down"])
    cheaper = [name for name, count in found.items() if count < known[name] * 0.9 - 1]
    assert not cheaper, f"cheaper by a tenth and more, write it down: {cheaper}"


def test_one_more_call_for_each_element_is_noticed(tmp_path, monkeypatch):
    name, operation = next(iter(operations(tmp_path)))
    before = counted(operation)
    for form in scan._FORMS.values():
        plain = form.unpack
        monkeypatch.setattr(form, "unpack", lambda *words, plain=plain: plain(*words))
    assert counted(operation) > before * (1 + TOLERANCE) + 1, name
