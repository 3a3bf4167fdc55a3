"""The mapping key: made once, kept to its owner, shared by name, told when it is damaged."""

from __future__ import annotations

import pytest

from router.errors import Rejected
from router.serve.mapping import KEY_BYTES, mapping_key
from tests.support.configuration import loaded

SHARED = (
    "version: 1\nrouter: {name: edge, ae_title: EDGE, data_dir: data, mapping_key: {file: map}}\n"
)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    plan = loaded(tmp_path, "stations: {}\n").plan
    assert mapping_key(plan, make=False) == b""
    key = mapping_key(plan, make=True)
    path = tmp_path / "data" / "keys" / "mapping.key"
    assert (len(key), path.stat().st_mode & 0o777) == (KEY_BYTES, 0o600)
    assert mapping_key(plan, make=True) == mapping_key(plan, make=False) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["mapping.key"]


def test_nodes_that_share_a_secret_share_the_key(tmp_path):
    keys = []
    for node in ("a", "b"):
        folder = tmp_path / node
        folder.mkdir()
        (folder / "map").write_text("between us\n")
        keys.append(mapping_key(loaded(folder, "stations: {}\n", base=SHARED).plan, make=True))
        assert not (folder / "data").exists()
    assert keys[0] == keys[1]
    (tmp_path / "b" / "map").write_text("another")
    plan = loaded(tmp_path / "b", "", base=SHARED).plan
    assert mapping_key(plan, make=True) != keys[0]


def test_a_damaged_key_is_not_replaced_by_a_new_one(tmp_path):
    plan = loaded(tmp_path, "stations: {}\n").plan
    mapping_key(plan, make=True)
    (tmp_path / "data" / "keys" / "mapping.key").write_bytes(b"short")
    with pytest.raises(Rejected, match="damaged"):
        mapping_key(plan, make=True)
