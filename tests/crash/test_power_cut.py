"""F3: the power goes at random moments under load, and what was acknowledged is still delivered.

Real cuts: the data directory is on an ext4 volume whose log is never flushed at the cut. A control
shows that the harness loses data where nothing is synced: storescp keeps what it was told to keep
only by luck. Answers given after the cut do not count: they would not have left the machine. Root only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.test_kill import check_nothing_is_lost
from tests.support import powercut
from tests.support.load import Load
from tests.support.powercut import PowerCutVolume
from tests.support.process import run
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.storescp import StoreScp

pytestmark = pytest.mark.skipif(not powercut.is_possible(), reason="LOUD: power cuts need root")


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.long)])
def test_F3_p2_power_cut_at_random_under_load(
    router: Callable[..., Router], tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(rounds)
    work = tmp_path / "disk"
    work.mkdir()
    with PowerCutVolume(work, 4096) as volume, ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(start=False, destination=destination.port, data_dir=volume.path / "data")
        load = Load(edge.port)
        load.start()
        cuts: list[float] = []
        gone: list[float] = []
        try:
            for _ in range(rounds):
                edge.start()
                time.sleep(rng.uniform(0.2, 2.0))
                cuts.append(time.monotonic())
                volume.cut()
                time.sleep(rng.uniform(0.0, 0.2))
                edge.kill()
                gone.append(time.monotonic())
                volume.unmount()
                volume.mount()
            edge.start()
        finally:
            load.stop()
            alive = edge.process is not None
        assert alive
        for begin, end in zip(cuts, gone, strict=True):
            load.forget(begin, end)
        check_nothing_is_lost(edge, load, destination, cuts)
        edge.assert_balanced()
        edge.expect_balanced = False  # the volume is gone when the fixture would look
        edge.kill()


def test_the_control_loses_what_it_acknowledged(
    storescp: Callable[..., StoreScp], tmp_path: Path
) -> None:
    """The same cut, under storescp: acknowledged objects are gone. So the harness can see loss."""
    work = tmp_path / "disk"
    work.mkdir()
    with PowerCutVolume(work, 512) as volume:
        peer = storescp(ae_title="EDGE_A")
        peer.kill()
        peer.folder = volume.path / "received"
        peer.folder.mkdir()
        assert run(["sync", "-f", str(volume.path)]).returncode == 0
        peer.start()
        load = Load(peer.port, tricklers=0)
        load.start()
        time.sleep(1.5)
        began = time.monotonic()
        volume.cut()
        peer.kill()
        load.stop()
        load.forget(began, time.monotonic())
        volume.unmount()
        volume.mount()
        kept = {item.digest() for item in peer.received()}
        lost = set(load.acknowledged.values()) - kept
        assert len(load.acknowledged) > 100
        assert lost, "storescp lost nothing: the power cut did not work"
