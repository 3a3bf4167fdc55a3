"""What no peer is compared with: TLS, idle associations, many rules, the size of an image, a backlog.

Each measures the router against itself; the names of the results are those of the bars.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median

import trustme

from tests.bench import bars, morph_size
from tests.bench.backlog import backlog
from tests.bench.contestants import CSTORE, RECEIVE, Target
from tests.bench.measure import Bench, Sample, destination
from tests.bench.routers import Variant, router
from tests.bench.sets import DataSets
from tests.bench.usage import cpu_seconds
from tests.support import wire

IDLE_ASSOCIATIONS, ACTIVE_ASSOCIATIONS = 190, 10
IDLE_STATIONS = 19
IDLE_SECONDS = 5.0
RULES = 1000
TURNS = 3
NOTHING_MATCHES = "XA"


def extras(
    sets: Mapping[str, DataSets], folder: Path, say: Callable[[str], None]
) -> Mapping[str, float]:
    """Every extra figure by the name of its bar."""
    found: dict[str, float] = {}
    for name, function in (
        ("morph", lambda _: morph_size.cost()),
        ("TLS", lambda here: _tls(sets["M"], here)),
        ("1,000 rules", lambda here: _rules(sets["S"], here)),
        ("200 associations", lambda here: _crowd(sets["S"], here)),
        ("backlog", backlog),
    ):
        say(f"extra: {name}")
        here = folder / f"extra-{len(found)}"
        here.mkdir()
        found.update(function(here))
    return found


@contextmanager
def _bench(folder: Path, work: str, variant: Variant) -> Iterator[tuple[Bench, Target]]:
    """A router of the variant with its sink, to be measured."""
    options = ["--tls", str(variant.certificates)] if variant.certificates else []
    authority = str(variant.certificates / "ca.pem") if variant.certificates else ""
    with (
        destination(work, folder, *options) as sink,
        router(folder / "router", sink.port, variant) as edge,
    ):
        assert edge.process is not None
        target = Target(edge.port, edge.ae_title, edge.process.pid)
        yield Bench(target, sink, work, folder, authority), target


def _turns(
    variants: Mapping[str, Variant], work: str, data: DataSets, folder: Path
) -> Mapping[str, list[Sample]]:
    """Measure the variants side by side, in turns."""
    found: dict[str, list[Sample]] = {name: [] for name in variants}
    with ExitStack() as running:
        benches: dict[str, Bench] = {}
        for name, variant in variants.items():
            here = folder / name
            here.mkdir()
            benches[name], _ = running.enter_context(_bench(here, work, variant))
        for _ in range(TURNS):
            for name, bench in benches.items():
                found[name].append(bench.measure(data, data.count // 4, 1))
    return found


def _tls(data: DataSets, folder: Path) -> Mapping[str, float]:
    authority = trustme.CA(organization_name="Bench")
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    variants = {"plain": Variant(), "tls": Variant(certificates=folder)}
    found = _turns(variants, CSTORE, data, folder)
    rate = {name: median(one.per_second for one in samples) for name, samples in found.items()}
    return {bars.TLS_RATE: rate["tls"] / rate["plain"]}


def _rules(data: DataSets, folder: Path) -> Mapping[str, float]:
    rule = (
        "  - {{name: rule {0}, match: {{Modality: XA, StudyDescription: {{regex: '^{0}'}}, "
        "PatientID: {{glob: 'X{0}*'}}}}, route: [pacs]}}"
    )
    more = "rules:\n" + "\n".join(rule.format(number) for number in range(RULES)) + "\n"
    variants = {
        "one": Variant(modalities=NOTHING_MATCHES),
        "many": Variant(modalities=NOTHING_MATCHES, more=more),
    }
    found = _turns(variants, RECEIVE, data, folder)
    cost = {name: median(one.cpu_ms for one in samples) for name, samples in found.items()}
    return {bars.RULES_COST: cost["many"] - cost["one"]}


def _crowd(data: DataSets, folder: Path) -> Mapping[str, float]:
    stations = "".join(
        f"  idle-{number}: {{ae_title: IDLE{number}, host: 127.0.1.{number + 1}}}\n"
        for number in range(IDLE_STATIONS)
    )
    variant = Variant(modalities=NOTHING_MATCHES, more="stations:\n" + stations)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with _bench(folder, RECEIVE, variant) as (bench, target):
        for turn in range(2 * TURNS):
            # In the order ABBA: what comes later in a run is mostly slower, whoever it is.
            is_crowded = turn % 4 in {1, 2}
            with _idle(target, data.sop_class_uid) if is_crowded else nullcontext():
                before = cpu_seconds(target.pid)
                time.sleep(IDLE_SECONDS)
                if is_crowded:
                    share = (cpu_seconds(target.pid) - before) / IDLE_SECONDS
                sample = bench.measure(data, data.count // 2, ACTIVE_ASSOCIATIONS)
                rates[is_crowded].append(sample.per_second)
    return {bars.IDLE_CORE: share, bars.IDLE_RATE: median(rates[True]) / median(rates[False])}


@contextmanager
def _idle(target: Target, sop_class_uid: str) -> Iterator[None]:
    """190 associations that say nothing, from 19 stations with addresses of their own."""
    contexts = [(sop_class_uid, [wire.EXPLICIT_VR_LITTLE_ENDIAN])]
    with ExitStack() as opened:
        for number in range(IDLE_ASSOCIATIONS):
            station = number % IDLE_STATIONS
            sock = opened.enter_context(
                socket.create_connection(
                    ("127.0.0.1", target.port), source_address=(f"127.0.1.{station + 1}", 0)
                )
            )
            sock.sendall(wire.associate_rq(target.ae_title, f"IDLE{station}", contexts))
            assert wire.read_pdu(sock)[0] == wire.ASSOCIATE_AC, "an idle association is refused"
        yield
