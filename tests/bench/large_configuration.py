"""How long `check` takes over a configuration of 9,000 lines, and where.

    python -m tests.bench.large_configuration            processor and wall time of three runs
    python -m tests.bench.large_configuration --profile  the functions it goes to

Each of 474 stations has a rule of its own with a regular expression, a template and two
destinations. Reading, compiling and analysing are measured after everything is imported.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import string
import tempfile
import time
from pathlib import Path

from router.analysis.advise import advisor
from router.config.load import Loaded, load
from router.plugs import all_plugs

STATIONS, TURNS = 474, 3
_ROUTER = """\
version: 1
router: {name: edge, organization: north, ae_title: EDGE, data_dir: data}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:11112", ae_titles: [EDGE]}
"""
_STATION = string.Template("""\
  station-$number:
    type: dicom
    send: true
    host: 10.0.$group.$place
    description: The reading room of ward $number
    heartbeat: {every: 5m}
    limits: {associations: 2}
    port: 104
    ae_title: STATION_$number
""")
_RULE = string.Template("""\
  - name: rule $number
    match:
      all:
        - calling_ae_title: MODALITY_$number
        - Modality: [CT, MR]
        - StudyDescription: {regex: "^(head|neck)[ -]*$number( with contrast)?$$"}
    morph:
      - set: {InstitutionName: Hospital $number}
      - set: {StudyID: "{{ source.name }}"}
      - remove: [PatientComments]
    route:
      - station-$number
      - {to: station-$other, priority: low}
""")


def write(folder: Path, stations: int = STATIONS) -> int:
    """Write the configuration into a folder; how many lines it has."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"number": n, "other": (n + 1) % stations, "group": n // 250, "place": n % 250 + 1}
        for n in range(stations)
    ]
    texts = {
        "router.yaml": _ROUTER,
        "stations.yaml": "stations:\n" + "".join(map(_STATION.substitute, rows)),
        "rules.yaml": "rules:\n" + "".join(map(_RULE.substitute, rows)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sum(text.count("\n") for text in texts.values())


def check(folder: Path) -> Loaded:
    """What `check` does behind its imports."""
    plugs = all_plugs()
    loaded = load(folder, plugs, environment={}, advise=advisor(plugs))
    assert not loaded.errors, loaded.render()
    return loaded


def main() -> None:
    """Measure, or profile, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{write(folder):,} lines")
        if given.profile:
            profile = cProfile.Profile()
            profile.runcall(check, folder)
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
            return
        for _ in range(TURNS):
            wall, processor = time.perf_counter(), time.process_time()
            check(folder)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            print(f"{processor:.2f} s of processor time, {wall:.2f} s")


if __name__ == "__main__":
    main()
