"""What needs no running router: rules asked, stations with something waiting, debts in the ledger.

The parts are the product's own, over real files; what is timed is one decision, one turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from router.clock import Clock
from router.config.load import load_texts
from router.dicom.header import HeaderReader
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.flow.route import decide
from router.match.facts import Facts
from router.model.delivery import Outcome, Result, State
from router.model.instance import Source
from router.model.plan import Plan
from router.store.ledger import Indexed, Settlement
from router.store.sqlite_ledger import SqliteLedger
from tests.bench.growth.series import Series
from tests.support import synthetic
from tests.support.configuration import all_plugs
from tests.support.store_making import indexed, owed

Say = Callable[[str], None]

_RULES = (1, 10, 100, 1000, 10_000)
_RULES_A_FILE = 1000  # a file may have 200,000 nodes
_STATIONS = (1, 10, 100, 500, 1000, 2000)
_DEBTS = (1_000, 10_000, 100_000, 1_000_000)
_WINDOW, _BATCH, _TURNS = 16, 1000, 30
_STUDY_INSTANCES = 250
_HEAD = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: data}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: SINK, host: 127.0.0.1, port: 104, send: true}
"""
_RULE = (
    "  - {{name: rule {0}, match: {{Modality: [CT, MR], StudyDescription: {{regex: '^{0}'}}, "
    "PatientID: {{glob: 'X{0}*'}}}}, route: [pacs]}}\n"
)


def _numbers(all_of_them: tuple[int, ...], *, quick: bool) -> tuple[int, ...]:
    return all_of_them[:3] if quick else all_of_them


def by_rules(folder: Path, say: Say, *, quick: bool) -> Series:
    """Time to decide one instance under so many rules of three predicates, none of which matches."""
    item = synthetic.instance(1, modality="MR", rows=32, columns=32)
    points = []
    for number in _numbers(_RULES, quick=quick):
        say(f"{number} rules")
        plan = _plan(folder, number)
        reader = HeaderReader(EXPLICIT_VR_LITTLE_ENDIAN, plan.needs)
        reader.feed(item.data_set)
        reader.finish()
        source = Source("lan", "CT1", "EDGE_A", "127.0.0.1", "ct-1")
        times = []
        for _ in range(max(_TURNS, 300 // number)):
            began = time.perf_counter()
            decide(
                plan,
                Facts(reader, source, EXPLICIT_VR_LITTLE_ENDIAN, item.sop_class_uid, 0.0),
            )
            times.append(time.perf_counter() - began)
        points.append((float(number), median(times) * 1e3))
    return Series(
        "rules",
        "rules of three predicates",
        "ms to decide one image",
        tuple(points),
        "Each rule is asked in turn, because every one that matches acts: proportional, about a "
        "microsecond a rule. An attribute is decoded once, and a question that many rules ask is one "
        "piece of code. From some thousand rules on they outgrow the processor's second cache, which "
        "raises the price of a rule by a half to double, once.",
    )


def _plan(folder: Path, number: int) -> Plan:
    texts = {"site.yaml": _HEAD}
    for first in range(0, number, _RULES_A_FILE):
        rules = map(_RULE.format, range(first, min(first + _RULES_A_FILE, number)))
        texts[f"rules-{first}.yaml"] = "rules:\n" + "".join(rules)
    loaded = load_texts(texts, folder, all_plugs(), environment={})
    assert loaded.plan is not None, loaded.render()
    return loaded.plan


def by_stations(folder: Path, say: Say, *, quick: bool) -> Series:
    """Time of a dispatcher's turn for each instance it leases, something waiting for each station."""
    points = []
    for number in _numbers(_STATIONS, quick=quick):
        say(f"{number} stations")
        names = [f"st-{index}" for index in range(number)]
        ledger = _ledger(folder / f"stations-{number}")
        wanted = dict.fromkeys(names, 1)
        debts = (
            indexed(index, owed(name), study=f"1.2.{index % 50}")
            for index, name in enumerate(names * (_TURNS + 1))
        )
        _fill(ledger, debts)
        points.append((float(number), _turn_ms(ledger, wanted) / number))
        ledger.close()
    return Series(
        "stations",
        "stations with something waiting",
        "ms of a turn for each instance: settled and leased",
        tuple(points),
        "A turn is one transaction with one sync for all stations, so a lone station pays for it "
        "alone; from there on each station costs its own indexed look.",
    )


def by_backlog(folder: Path, say: Say, *, quick: bool) -> Series:
    """Time of a dispatcher's turn of 16 instances while so many wait."""
    points = []
    ledger = _ledger(folder / "backlog")
    there = 0
    for number in _numbers(_DEBTS, quick=quick):
        say(f"{number} waiting")
        debts = (
            indexed(index, owed(), study=f"1.2.{index // _STUDY_INSTANCES}")
            for index in range(there, number)
        )
        _fill(ledger, debts)
        there = number
        points.append((float(number), _turn_ms(ledger, {"pacs": _WINDOW})))
    ledger.close()
    return Series(
        "backlog",
        "instances that wait for one station",
        "ms of a turn that settles and leases 16",
        tuple(points),
        "The queue is an index of the ledger, read from its front: what waits behind costs a level "
        "of the tree more for each hundredfold.",
    )


def _ledger(folder: Path) -> SqliteLedger:
    folder.mkdir(parents=True)
    return SqliteLedger.open(folder / "ledger.db", Clock(), "boot")


def _fill(ledger: SqliteLedger, debts: Iterator[Indexed]) -> None:
    batch: list[Indexed] = []
    for debt in debts:
        batch.append(debt)
        if len(batch) == _BATCH:
            ledger.index(batch)
            batch = []
    ledger.index(batch)
    os.sync()


def _turn_ms(ledger: SqliteLedger, wanted: dict[str, int]) -> float:
    times = []
    outcomes: list[Settlement] = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        leased = ledger.turn(outcomes, wanted, time.time())
        times.append(time.perf_counter() - began)
        assert leased, "nothing was leased"
        outcomes = [
            Settlement(Outcome(one.delivery_id, Result.DELIVERED), None, State.DELIVERED, False)
            for one in leased
        ]
    ledger.turn(outcomes, {}, time.time())
    return median(times) * 1e3
