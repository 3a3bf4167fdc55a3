"""What needs a running router: images of growing size, associations of growing number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bench.contestants import CSTORE, RECEIVE, Target
from tests.bench.growth.series import Series
from tests.bench.measure import Bench, destination
from tests.bench.routers import Variant, router
from tests.bench.sets import DataSets, build, build_sized

Say = Callable[[str], None]

_SIZES = tuple(16 << 10 << (2 * power) for power in range(9))  # 16 KiB to 1 GiB
_QUICK_SIZES = _SIZES[:5]
_ASSOCIATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 200)
_QUICK_ASSOCIATIONS = (1, 4, 16)
_BYTES_A_POINT = 512 << 20
_MOST_A_POINT, _FEWEST_A_POINT = 1000, 2
_OPEN = "{associations: 400, associations_per_address: 400, associations_per_ae_title: 400}"
NOTHING_MATCHES = "XA"


def by_size(folder: Path, say: Say, *, quick: bool) -> Series:
    """CPU of both roles for one image on its way through a rule with three tags to C-STORE."""
    points = []
    with (
        destination(CSTORE, folder) as sink,
        router(folder / "router", sink.port, Variant()) as edge,
    ):
        assert edge.process is not None
        target = Target(edge.port, edge.ae_title, edge.process.pid)
        bench = Bench(target, sink, CSTORE, folder)
        for size in _QUICK_SIZES if quick else _SIZES:
            say(f"images of {size >> 10} KiB")
            data = build_sized(folder, size)
            count = min(max(_BYTES_A_POINT // size, _FEWEST_A_POINT), _MOST_A_POINT)
            points.append((float(size), bench.measure(data, count, 1).cpu_ms))
            Path(data.path).unlink()
    return Series(
        "size",
        "bytes of an image",
        "CPU ms an image: in, rule with three tags, out by C-STORE",
        tuple(points),
        "Flat while headers, rows and answers are what costs, then in proportion to the bytes, which "
        "are received, sealed, written, read, opened and sent; no step is worse than proportional.",
    )


def by_associations(folder: Path, say: Say, *, quick: bool) -> Series:
    """CPU of receiving one 64 KB image while so many associations send at once."""
    points = []
    data = build(folder, quick=True)["S"]
    variant = Variant(modalities=NOTHING_MATCHES, limits=_OPEN)
    with (
        destination(RECEIVE, folder) as sink,
        router(folder / "router", sink.port, variant) as edge,
    ):
        assert edge.process is not None
        target = Target(edge.port, edge.ae_title, edge.process.pid)
        bench = Bench(target, sink, RECEIVE, folder)
        bench.measure(data, data.count, 1)
        for number in _QUICK_ASSOCIATIONS if quick else _ASSOCIATIONS:
            say(f"{number} associations")
            points.append((float(number), _fresh(bench, data, number)))
    return Series(
        "associations",
        "associations that send at once",
        "CPU ms to receive a 64 KB image",
        tuple(points),
        "A thread each, woken by its socket: more of them share the syncs and pay for switching "
        "between threads that wait for one interpreter.",
    )


def _fresh(bench: Bench, data: DataSets, associations: int) -> float:
    return bench.measure(data, max(2000, 10 * associations), associations).cpu_ms
