"""Transfer syntaxes on the way out: decoded and compressed where it is declared, or asked for by C-GET
and C-MOVE; judged by DCMTK and pydicom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.conftest import RouterFactory, StoreScpFactory
from tests.support.compressed import compressed, read
from tests.support.process import free_port, wait_until
from tests.support.retrievers import Asker
from tests.support.storescp import dcmsend
from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    RLE_LOSSLESS,
    Synthetic,
    instance,
)

pytestmark = pytest.mark.peers

JPEG_2000 = "1.2.840.10008.1.2.4.91"
JPEG_LS = "1.2.840.10008.1.2.4.80"
SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  ws: {ae_title: WS, host: 127.0.0.1, port: $plain, query_retrieve: true, send: true}
  plain: {ae_title: DEST, host: 127.0.0.1, port: $plain, send: true}
  stubborn: {ae_title: DEST2, host: 127.0.0.1, port: $plain, send: true}
  archive:
    {ae_title: DEST3, host: 127.0.0.1, port: $all, send: true, transfer_syntax: JPEGLSLossless}
  drop: {type: folder, path: $drop, send: true}
"""
ROUTES = """\
rules:
  - name: all
    route:
      - {to: plain, transfer_syntax: ExplicitVRLittleEndian}
      - stubborn
      - archive
      - {to: drop, transfer_syntax: JPEG2000}
"""


@pytest.fixture
def images() -> list[Synthetic]:
    """Compressed in two ways and not at all, and one without pixels."""
    made = [instance(seed, rows=48, columns=48) for seed in (1, 2, 3)]
    whole = instance(4)
    without = replace(whole, data_set=whole.data_set[: whole.data_set.rindex(b"\xe0\x7f\x10\0")])
    coded = [compressed(made[0], JPEG_2000_LOSSLESS), compressed(made[1], RLE_LOSSLESS)]
    return [*coded, made[2], without]


def files_by_uid(paths: list[Path]) -> dict[str, pydicom.Dataset]:
    return {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, paths)}


def test_f76_what_is_declared_is_transcoded_and_what_cannot_be_sent_is_dead_with_the_reason(
    tmp_path: Path, router: RouterFactory, storescp: StoreScpFactory, images: list[Synthetic]
) -> None:
    plain = storescp(accept="+x=")
    everything = storescp(ae_title="DEST3")
    drop = tmp_path / "drop"
    drop.mkdir()
    edge = router(SITE + ROUTES, plain=plain.port, all=everything.port, drop=drop)
    work = tmp_path / "in"
    work.mkdir()
    dcmsend(edge.port, [one.write(work) for one in images], work)
    edge.wait_until_drained()
    got = files_by_uid([one.path for one in plain.received()])
    kept = files_by_uid([one.path for one in everything.received()])
    dropped = [pydicom.dcmread(path) for path in drop.rglob("*") if path.is_file()]
    for one in images[:3]:
        sent = read(one)
        for copy, syntax in (
            (got[one.sop_instance_uid], EXPLICIT_VR_LITTLE_ENDIAN),
            (kept[one.sop_instance_uid], JPEG_LS),
        ):
            assert copy.file_meta.TransferSyntaxUID == syntax
            assert np.array_equal(copy.pixel_array, sent.pixel_array)
            assert copy.PatientName == sent.PatientName
            assert "LossyImageCompression" not in copy
        (lossy,) = [
            copy
            for copy in dropped
            if "SourceImageSequence" in copy
            and copy.SourceImageSequence[0].ReferencedSOPInstanceUID == one.sop_instance_uid
        ]
        assert lossy.file_meta.TransferSyntaxUID == JPEG_2000
        assert lossy.SOPInstanceUID not in {one.sop_instance_uid for one in images}
        assert lossy.file_meta.MediaStorageSOPInstanceUID == lossy.SOPInstanceUID
        assert (lossy.LossyImageCompression, lossy.ImageType[0]) == ("01", "DERIVED")
        assert lossy.LossyImageCompressionMethod == "ISO_15444_1"
        assert float(lossy.LossyImageCompressionRatio) > 2
        assert lossy.pixel_array.shape == sent.pixel_array.shape
    # What has no pixels leaves uncompressed, whatever is declared.
    without = images[3].sop_instance_uid
    assert kept[without].file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert without in {str(one.SOPInstanceUID) for one in dropped}
    dead = [task for task in edge.tasks()["tasks"] if task["dead"]]
    assert {task["station"] for task in dead} == {"stubborn"}, dead
    assert all("ExplicitVRLittleEndian" in task["status_reason"] for task in dead), dead
    assert edge.deliveries()["dead"] == 2
    assert edge.deliveries()["delivered"] == 3 * 4 + 2


def test_c_get_and_c_move_decode_for_whoever_takes_no_compressed_objects(
    tmp_path: Path, router: RouterFactory, storescp: StoreScpFactory, images: list[Synthetic]
) -> None:
    plain = storescp(ae_title="WS", accept="+x=")
    edge = router(SITE, plain=plain.port, all=free_port(), drop=tmp_path)
    work = tmp_path / "in"
    work.mkdir()
    dcmsend(edge.port, [one.write(work) for one in images[:2]], work)
    asker = Asker(tmp_path / "asked", edge.port)
    studies = {one.study_instance_uid for one in images[:2]}
    wait_until(lambda: studies <= set(asker.find("StudyInstanceUID").uids()), 20, what="listed")
    for one in images[:2]:
        wanted = f"StudyInstanceUID={one.study_instance_uid}"
        told = asker.get(wanted)
        (copy,) = told.objects
        assert copy.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN, told.words
        assert np.array_equal(copy.pixel_array, read(one).pixel_array)
        assert asker.move(wanted).code_of_status == "0000"
    edge.wait_until_drained()
    moved = files_by_uid([one.path for one in plain.received()])
    for one in images[:2]:
        assert np.array_equal(moved[one.sop_instance_uid].pixel_array, read(one).pixel_array)
