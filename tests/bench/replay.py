"""How fast `plan` replays: python -m tests.bench.replay [COUNT [ROWS]]

Keeps COUNT (default 5,000) small CT objects of ROWS × ROWS pixels (default 128), ten to a study, in a store of its own; then forecasts
a configuration that changes a value and a destination. Prints instances a second, processor time an
instance, and how much the peak of memory grew.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from router.flow.explain import routed_as
from router.flow.forecast import forecast
from router.flow.received import ReceiveHooks
from router.flow.replay import Replay
from router.plugs import morphs
from router.store.envelope import encode
from router.store.ledger import Indexed
from tests.support.inside import Edge, plan_of
from tests.support.synthetic import instance
from tests.unit.flow.test_explain import subject
from tests.unit.flow.test_forecast import ALL, MAPPING_KEY, STATIONS

RULES = """\
rules:
  - {name: ct, match: {Modality: CT}, morph: [set: {Manufacturer: ACME}], route: [pacs, cloud]}
"""
SAME = """\
rules:
  - {name: ct, match: {Modality: CT}, route: [pacs]}
"""


def main(count: int, rows: int) -> None:
    """Fill, replay, print."""
    with tempfile.TemporaryDirectory() as folder:
        edge = Edge(Path(folder), ALL)
        _fill(edge, count, rows)
        replay_as(edge, Path(folder) / "warm", RULES, edge.clock.now() - 1e-9)
        for name, site in (("values", RULES), ("routes", SAME)):
            replay_as(edge, Path(folder) / name, site, 0.0, name)
        edge.close()


def replay_as(edge: Edge, folder: Path, rules: str, since: float, name: str = "") -> None:
    """One forecast, timed."""
    new = plan_of(folder, STATIONS + rules)
    known = {plug.name: plug for plug in morphs()}
    replay = Replay((edge.plan, MAPPING_KEY), (new, MAPPING_KEY), known)
    before, began, used = _peak(), time.monotonic(), time.process_time()
    found = forecast(replay, edge.journal, edge.ledger, since, 50)
    seconds, used = time.monotonic() - began, time.process_time() - used
    if name:
        print(
            f"{name}: {found.replayed} replayed, {found.changed} change: "
            f"{found.replayed / seconds:.0f} a second, {used / found.replayed * 1000:.2f} ms "
            f"of processor time each, peak + {(_peak() - before) / 1024:.1f} MiB"
        )


def _fill(edge: Edge, count: int, rows: int) -> None:
    """One object's bytes over and over: only their places in the ledger differ."""
    image = instance(1, rows=rows, columns=rows)
    edge.keep(image)
    facts = edge.ledger.received_since(0.0, ("", 0), 1)[0].instance
    decision = routed_as(edge.plan, subject(image), ReceiveHooks({})).decision
    entries: list[Indexed] = []
    for number in range(count):
        one = replace(
            facts,
            sop_instance_uid=f"1.2.3.{number}",
            study_instance_uid=f"1.2.{number // 10}",
            content_digest=number.to_bytes(32, "big"),
        )
        writer = edge.journal.begin()
        writer.append(image.data_set)
        entries.append(Indexed(writer.commit(encode(one, decision, "plan")), one, decision, "plan"))
        if len(entries) == 1000 or number == count - 1:
            edge.ledger.index(entries)
            entries.clear()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*map(int, (sys.argv[1:] + ["5000", "128"][len(sys.argv) - 1 :])))
