"""The texts of the last plan that ran survive a broken folder, and a crash while they are written."""

from __future__ import annotations

import os
import stat

import pytest

from router.config import last_good
from tests.support.configuration import PACS, all_plugs, loaded, write


@pytest.fixture
def ran(tmp_path):
    folder = tmp_path / "site"
    rules = "rules: [{name: a, route: [pacs]}]"
    result = loaded(write(folder, rules=rules), PACS)
    data = tmp_path / "data"
    data.mkdir()
    last_good.save(data, result)
    return folder, data, result.plan


def test_it_comes_back_as_it_was(ran):
    folder, data, plan = ran
    write(folder, site="stations: [")
    again = last_good.load_last_good(data, all_plugs())
    assert again.plan == plan
    assert again.plan.digest == plan.digest


def test_only_its_owner_may_read_it(ran):
    _, data, _ = ran
    (kept,) = data.iterdir()
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600


def test_a_plan_that_is_none_replaces_nothing(ran):
    folder, data, plan = ran
    last_good.save(data, loaded(write(folder, site="stations: [")))
    assert last_good.load_last_good(data, all_plugs()).plan == plan


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"files": 5, "folder": "x"}', b"\xff", b"[" * 9999]
)
def test_what_cannot_be_read_is_not_there(ran, content):
    _, data, _ = ran
    (data / last_good.FILE_NAME).write_bytes(content)
    assert last_good.load_last_good(data, all_plugs()) is None


def test_a_half_written_file_is_never_seen(ran):
    _, data, plan = ran
    (data / (last_good.FILE_NAME + ".new")).write_text("{ half")
    assert last_good.load_last_good(data, all_plugs()).plan == plan


def test_none_was_kept(tmp_path):
    assert last_good.load_last_good(tmp_path, all_plugs()) is None
