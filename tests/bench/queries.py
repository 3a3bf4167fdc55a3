"""What a query and a retrieval cost.

    python -m tests.bench.queries [--studies 100000] [--instances 1000] [--sides 180 512]

C-FIND over a planted catalogue: the first answer, and 1,000 of them, for several kinds of key.
C-MOVE of one study beside plain delivery of the same study (`send --study`), to the sink of the
bench, in turns. Prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from router.clock import Clock
from router.dicom.identifier import element_of
from router.dimse.client import connect
from router.dimse.find import STUDY_ROOT_FIND, Find
from router.dimse.move import STUDY_ROOT_MOVE, move
from router.dimse.operation import Operation
from router.model.query import QUERY_RETRIEVE_LEVEL, Identifier, Query
from tests.bench import arrivals
from tests.bench.measure import destination
from tests.support.planted_catalogue import ROOT, plant
from tests.support.process import memory_peak_bytes, wait_until
from tests.support.router_process import Router
from tests.support.storescp import dcmsend
from tests.support.synthetic import series

EXPLICIT = "1.2.840.10008.1.2.1"
SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
stations:
  ws: {ae_title: WS, host: 127.0.0.1, port: $sink, query_retrieve: true, send: true}
"""
RETURNED = {
    tag: "" for tag in (0x00080020, 0x00080050, 0x00080061, 0x00100010, 0x00100020, 0x0020000D)
}
QUERIES = {
    "everything": {},
    "one patient ID": {0x00100020: "P0000123"},
    "a name that begins so": {0x00100010: "yamada12*"},
    "a name that holds it": {0x00100010: "*amada12*"},
    "the rarest name, found last": {0x00100010: "*7^zoë", 0x00080020: "20150101-20150103"},
    "a range of dates": {0x00080020: "20240101-20240331"},
    "modalities in study": {0x00080061: "MR"},
    "one study UID": {0x0020000D: f"{ROOT}.77"},
    "no such patient": {0x00100020: "NOBODY"},
    "with numbers of instances": {0x00201208: ""},
}


def asking(edge: Router, sop_class_uid: str, called: str = "EDGE_A") -> Operation:
    association = connect(
        "127.0.0.1", edge.port, "WS", called, [(sop_class_uid, EXPLICIT)],
        timeout_seconds=60, max_pdu_bytes=1 << 18,
    )  # fmt: skip
    return Operation(
        association, Clock(), answer_seconds=60, deadline_seconds=600, wish_to_cancel=lambda: False
    )


def timed_find(edge: Router, keys: dict[int, str], limit: int) -> tuple[float, float, int]:
    """Milliseconds to the first answer (or the end), to the last, and how many there were."""
    wanted: Identifier = {tag: element_of(tag, text) for tag, text in (RETURNED | keys).items()}
    find = Find(asking(edge, STUDY_ROOT_FIND), "ISO_IR 192")
    began = time.perf_counter()
    first, given = 0.0, 0
    for _ in find.answers(Query("STUDY", wanted, limit, 600)):
        given += 1
        first = first or time.perf_counter() - began
        if given == limit:
            break
    ended = time.perf_counter() - began
    return (first or ended) * 1000, ended * 1000, given


def finds(folder: Path, studies: int) -> None:
    edge = Router(folder / "find", SITE, sink=104)
    began = time.perf_counter()
    plant(edge.data_dir, studies)
    print(f"planted {studies} studies in {time.perf_counter() - began:.1f} s")
    edge.is_cold = True
    edge.start()
    assert edge.process is not None
    process = edge.process
    try:
        wait_until(
            lambda: "catalogue loaded" in process.tail(), 120, what="the catalogue is loaded"
        )
        (line,) = [one for one in process.tail().splitlines() if "catalogue loaded" in one]
        print(line[line.index("seconds") :][:60])
        print(f"{'query':32} {'first answer':>14} {'answers':>8} {'all of them':>14}")
        for name, keys in QUERIES.items():
            runs = [timed_find(edge, keys, 1000) for _ in range(5)]
            first = statistics.median(run[0] for run in runs)
            last = statistics.median(run[1] for run in runs)
            print(f"{name:32} {first:11.1f} ms {runs[0][2]:8} {last:11.1f} ms")
        for pid in children(process.pid):
            print(f"peak memory of process {pid}: {memory_peak_bytes(pid) / 2**20:.0f} MiB")
    finally:
        edge.kill()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [pid, *map(int, text.split())]


def moves(folder: Path, instances: int, side: int) -> None:
    folder = folder / str(side)
    folder.mkdir()
    with destination("cstore", folder) as sink:
        edge = Router(folder / f"move-{side}", SITE, sink=sink.port)
        edge.is_cold = True
        edge.start()
        try:
            work = folder / f"images-{side}"
            work.mkdir()
            images = list(series(instances, rows=side, columns=side))
            study = images[0].study_instance_uid
            size = len(images[0].data_set)
            paths = [one.write(work) for one in images]
            dcmsend(edge.port, paths, folder, called_ae_title="EDGE_A")
            rates: dict[str, list[float]] = {
                "plain": [],
                "C-MOVE": [],
                "C-MOVE, to the last answer": [],
            }
            for _ in range(3):
                before = arrivals.count(sink.log)
                edge.command("send", "ws", "--study", study)
                wait_until(lambda: arrivals.count(sink.log) >= before + instances, 300, what="sent")
                rates["plain"].append(rate(sink.log, before, instances))
                before = arrivals.count(sink.log)
                began = time.perf_counter()
                keys = {QUERY_RETRIEVE_LEVEL: "STUDY", 0x0020000D: study}
                wanted = {tag: element_of(tag, text) for tag, text in keys.items()}
                last = list(move(asking(edge, STUDY_ROOT_MOVE), wanted, "WS"))[-1]
                seconds = time.perf_counter() - began
                assert (last.status, last.completed) == (0, instances), last
                rates["C-MOVE"].append(rate(sink.log, before, instances))
                rates["C-MOVE, to the last answer"].append(instances / seconds)
            for name, found in rates.items():
                median = statistics.median(found)
                print(
                    f"{size // 1024:6} KiB {name:28} {median:8.0f} instances/s",
                    [round(x) for x in found],
                )
        finally:
            edge.kill()


def rate(log: Path, before: int, instances: int) -> float:
    times = [one.at_ns for one in arrivals.read(log, before)]
    return (instances - 1) / (max(times) - min(times)) * 1e9


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--studies", type=int, default=100_000)
    words.add_argument("--instances", type=int, default=1000)
    words.add_argument("--sides", type=int, nargs="*", default=(180, 512))
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.studies:
            finds(Path(folder), asked.studies)
        for side in asked.sides:
            moves(Path(folder), asked.instances, side)


if __name__ == "__main__":
    main()
