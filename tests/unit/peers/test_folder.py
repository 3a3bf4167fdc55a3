"""A folder station: whole files or none, nothing overwritten, no name made of what peers send."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from router.dicom.part10 import open_part10
from router.errors import MorphFailed
from router.model.delivery import Result
from router.model.station import Station
from router.peers import folder as folder_module
from router.peers.folder import FolderPeer, safe_name
from router.peers.kinds.folder import PLUGS
from router.peers.peer import Parcel
from tests.support.parcels import outcomes, parcel, parcels, peer_context, results
from tests.support.synthetic import instance

D, B, H, U, Q = (
    Result.DELIVERED,
    Result.BUSY,
    Result.HOLD,
    Result.UNREACHABLE,
    Result.QUARANTINED,
)
IMAGES = [instance(number, study=1, rows=8, columns=8) for number in range(1, 4)]


def peer(path: Path) -> FolderPeer:
    return FolderPeer(Station("room", "folder", path=path, send=True), peer_context())


def files(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file())


def test_each_instance_is_one_file_by_study_and_instance(tmp_path: Path) -> None:
    assert results(peer(tmp_path), parcels(IMAGES)) == [D] * 3
    study = tmp_path / IMAGES[0].study_instance_uid
    assert files(tmp_path) == sorted(study / f"{one.sop_instance_uid}.dcm" for one in IMAGES)
    for image in IMAGES:
        path = study / f"{image.sop_instance_uid}.dcm"
        found = open_part10(path)
        assert found.sop_instance_uid == image.sop_instance_uid
        assert found.transfer_syntax_uid == image.transfer_syntax_uid
        assert path.read_bytes()[found.data_set_offset :] == image.data_set
        assert path.stat().st_mode & 0o777 == 0o640


def test_p5_the_same_content_again_is_delivered_and_other_content_is_kept_beside_it(
    tmp_path: Path,
) -> None:
    room = peer(tmp_path)
    assert results(room, parcels(IMAGES[:1])) == [D]
    (first,) = files(tmp_path)
    before = first.read_bytes()
    (again,) = outcomes(room, parcels(IMAGES[:1]))
    assert (again.result, "same content" in again.message) == (D, True)
    assert files(tmp_path) == [first]
    other = replace(IMAGES[0], data_set=IMAGES[0].data_set[:-2] + b"\1\2")
    for message in ("kept both", "same content"):
        (outcome,) = outcomes(room, [parcel(other)])
        assert outcome.result is D
        assert message in outcome.message
    assert first.read_bytes() == before
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "1.2/../3", "", ".", "..", "1.2\0", "é", "1" * 65, "1.2 ", "a"]
)
def test_no_text_of_a_data_set_becomes_a_path(uid: str) -> None:
    name = safe_name(uid)
    assert name.startswith("uid-")
    assert set(name) <= set("uid-0123456789abcdef")


def test_a_symbolic_link_below_the_folder_is_not_followed(tmp_path: Path) -> None:
    room, elsewhere = tmp_path / "room", tmp_path / "elsewhere"
    room.mkdir()
    elsewhere.mkdir()
    (room / IMAGES[0].study_instance_uid).symlink_to(elsewhere)
    assert D not in results(peer(room), parcels(IMAGES))
    assert files(elsewhere) == []


def test_a_missing_folder_is_unreachable_and_the_rest_untried(tmp_path: Path) -> None:
    room = peer(tmp_path / "gone")
    found = outcomes(room, parcels(IMAGES))
    assert [one.result for one in found] == [U] * 3
    assert found[1].message.startswith("not sent")
    probe = room.probe()
    assert (probe.ok, "ENOENT" in probe.message) == (False, True)
    (tmp_path / "gone").mkdir()
    assert room.probe().ok
    assert results(room, parcels(IMAGES)) == [D] * 3


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (errno.ENOSPC, B),
        (errno.EDQUOT, B),
        (errno.EACCES, H),
        (errno.EROFS, H),
        (errno.EIO, U),
        (errno.ESTALE, U),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "link", "mkdir"])
def test_F6_an_error_of_the_disk_leaves_nothing_behind(
    number: int, result: Result, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(folder_module.os, call, fail)
        assert results(peer(tmp_path), parcels(IMAGES)) == [result] * 3
    assert files(tmp_path) == []
    assert results(peer(tmp_path), parcels(IMAGES)) == [D] * 3


def test_a_file_system_without_links_still_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(folder_module.os, "link", fail)
    assert results(peer(tmp_path), parcels(IMAGES)) == [D] * 3
    other = replace(IMAGES[0], data_set=IMAGES[0].data_set[:-2] + b"\1\2")
    assert results(peer(tmp_path), [parcel(other)]) == [D]
    assert len(files(tmp_path)) == 4


def test_F26_one_parcel_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    sent: list[Parcel] = parcels(IMAGES)
    sent[0] = parcel(IMAGES[0], 1, fails=MorphFailed("no"))
    sent[1] = parcel(IMAGES[1], 2, breaks=MorphFailed("damaged"))
    assert results(peer(tmp_path), sent) == [Q, Q, D]
    assert len(files(tmp_path)) == 1


_WRITER = """
import sys
from pathlib import Path
from tests.support.parcels import parcel, peer_context
from tests.support.synthetic import instance
from router.model.station import Station
from router.peers.folder import FolderPeer
peer = FolderPeer(Station("room", "folder", path=Path(sys.argv[1])), peer_context())
print("ready", flush=True)
for number in range(1, 100000):
    image = instance(number % 50, study=1, rows=64, columns=64)
    for outcome in peer.send([parcel(image, number % 50)]):
        print(outcome.result, flush=True)
"""


def test_p3_a_killed_writer_leaves_whole_files_only(tmp_path: Path) -> None:
    originals = {
        image.sop_instance_uid: image.data_set
        for image in (instance(number, study=1, rows=64, columns=64) for number in range(50))
    }
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            writer.stdout.readline()
            time.sleep(0.03)
            writer.send_signal(signal.SIGKILL)
    whole = [one for one in files(tmp_path) if not one.name.startswith(".")]
    assert whole
    for path in whole:
        data = path.read_bytes()[open_part10(path).data_set_offset :]
        assert data == originals[path.name.removesuffix(".dcm")]
    for number, image in enumerate(originals):
        found = instance(number, study=1, rows=64, columns=64)
        assert found.sop_instance_uid == image
        assert results(peer(tmp_path), [parcel(found, number)]) == [D]
    assert len(files(tmp_path)) == 50, "what was half written is gone after the next try"


def test_the_description_of_the_kind_is_complete() -> None:
    (kind,) = PLUGS
    assert (kind.name, kind.schema["required"]) == ("folder", ["type", "path"])
