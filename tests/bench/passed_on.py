"""What it costs to ask an archive through the router: C-FIND, passed on as QIDO-RS, beside QIDO-RS.

    python -m tests.bench.passed_on [--studies 1000] [--rounds 9]

Orthanc with its DICOMweb plugin is the archive. Both sides ask the same keys and read every answer:
one over an open association with the router, one over a kept HTTP connection with Orthanc, in pages
of the size the router asks for; in turns, medians. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from router.dicom.identifier import element_of
from router.dicomweb.profiles import PROFILES
from router.dimse.find import STUDY_ROOT_FIND, Find
from router.model.query import Identifier, Query
from tests.bench.queries import RETURNED, asking
from tests.support.orthanc import Orthanc
from tests.support.router_process import Router
from tests.support.synthetic import instance

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
stations:
  ws: {ae_title: WS, host: 127.0.0.1, port: 104, query_retrieve: true}
  cloud: {type: dicomweb, ae_title: CLOUD, url: $url, profile: orthanc, allow_insecure_http: true,
          query_retrieve: true}
"""
QUERIES: Mapping[str, Mapping[int, str]] = {
    "all by a range of dates": {0x00080020: "19000101-"},
    "a name that begins so": {0x00100010: "BENCH1*"},
    "one patient ID": {0x00100020: "P77"},
    "no such patient": {0x00100020: "NOBODY"},
}


def filled(archive: Orthanc, studies: int) -> None:
    """So many studies of one small image each."""
    for number in range(studies):
        changes = {
            0x00100010: ("PN", f"BENCH{number}^ANA"),
            0x00100020: ("LO", f"P{number}"),
            0x00080020: ("DA", f"20{number % 26:02}0{number % 9 + 1}15"),
        }
        image = instance(number, study=number, rows=8, columns=8, changes=changes)
        archive.raw("/instances", method="POST", body=image.part10())


def direct(client: httpx.Client, keys: Mapping[int, str], limit: int) -> int:
    """Ask the archive itself, page by page; how many answers."""
    asked = {f"{tag:08X}": text for tag, text in keys.items()}
    fields = ",".join(f"{tag:08X}" for tag in RETURNED)
    found = 0
    while True:
        # As it stands: this server decodes no percent signs.
        parameters = {**asked, "includefield": fields, "limit": limit, "offset": found}
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = client.get(f"/studies?{query}")
        page = json.loads(answer.content) if answer.status_code == 200 else []
        found += len(page)
        if len(page) < limit:
            return found


def passed_on(edge: Router, keys: Mapping[int, str]) -> tuple[float, int]:
    """Ask the router; seconds from the request to the last answer, and how many came."""
    wanted: Identifier = {tag: element_of(tag, text) for tag, text in {**RETURNED, **keys}.items()}
    find = Find(asking(edge, STUDY_ROOT_FIND, called="CLOUD"), "ISO_IR 192")
    began = time.perf_counter()
    found = sum(1 for _ in find.answers(Query("STUDY", wanted, 100_000, 600)))
    return time.perf_counter() - began, found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    (limit,) = (one.query_limit for one in PROFILES if one.name == "orthanc")
    with tempfile.TemporaryDirectory(prefix="passed-on-") as name:
        folder = Path(name)
        archive = Orthanc(folder / "archive")
        filled(archive, given.studies)
        edge = Router(folder / "edge", SITE, url=archive.dicomweb_url)
        edge.is_cold = True
        edge.start()
        client = httpx.Client(
            base_url=archive.dicomweb_url, headers={"accept": "application/dicom+json"},
            trust_env=False, timeout=60,
        )  # fmt: skip
        try:
            for title, keys in QUERIES.items():
                print(compared(title, edge, client, keys, limit, given.rounds), flush=True)
        finally:
            client.close()
            edge.stop()
            archive.kill()
    return 0


def compared(
    title: str, edge: Router, client: httpx.Client, keys: Mapping[int, str], limit: int, rounds: int
) -> str:
    """One line of the table: milliseconds of both, and how much more the router's way takes."""
    theirs, ours, counts = [], [], set()
    for _ in range(rounds):
        began = time.perf_counter()
        counts.add(direct(client, keys, limit))
        theirs.append(time.perf_counter() - began)
        seconds, found = passed_on(edge, keys)
        counts.add(found)
        ours.append(seconds)
    assert len(counts) == 1, f"{title}: both should give the same, every time: {counts}"
    (answers,) = counts
    one, other = statistics.median(theirs) * 1000, statistics.median(ours) * 1000
    return (
        f"{title:28} {answers:6} answers  direct {one:8.1f} ms  through the router {other:8.1f} ms"
        f"  {other / one - 1:+.0%}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
