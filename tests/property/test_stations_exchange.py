"""Stations as JSON: out and in again is the same, byte for byte, whatever they are like."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from router.config.exchange import document, read_document, station_json
from router.config.load import load
from router.config.station_changes import change_stations
from router.plugs import all_plugs
from tests.support.configuration import BASE, write

NAMES = ("pacs", "CT.1", "a-b", "a_b", "0012", "true", "null", "x.test", "-", ".hidden")
TEXTS = (
    "Main archive",
    "yes: no # not a comment",
    "'quoted' \"twice\" \\ back",
    "Zürich 東京 \U0001f3e5",
    " outer spaces ",
    "two\nlines\tand a tab",
    "0012",
    "true",
    "{flow: [style]}",
    "- dash",
    "*alias",
    "\u2028\x7f",
)
TLS = "tls:\n  hospital: {}\n"


def made(generator: random.Random, number: int) -> dict[str, object]:
    """A station of any kind that a file can describe."""
    has_port = generator.random() < 0.7
    may = has_port and generator.random() < 0.8
    tls = generator.random() < 0.3
    name = NAMES[number] if number < len(NAMES) and number != 8 else f"s{number}-{number % 7}"

    def text() -> str | None:
        return generator.choice((None, *TEXTS))

    def switch() -> bool:
        return generator.random() < 0.5

    return {
        "name": name,
        "description": text(),
        "aeTitle": generator.choice(("PACS", "CT 1", "1234", "#A:B", "true", "~", "[x]", "a'b"))[
            :16
        ]
        + f" {number}",
        "ipAddressOrHostname": f"10.1.{number // 250}.{number % 250}" if has_port else None,
        "port": generator.choice((104, 11112, 65535)) if has_port else None,
        "enableTls": tls,
        "tlsProfile": "hospital" if tls else None,
        "active": switch(),
        "isArchiveServer": switch(),
        "needIocmNotification": switch(),
        "enableHeartbeat": may and switch(),
        "heartbeatIntervalSeconds": generator.choice((600, 60, 90, 3600, 86400, 0.5, 12.125)),
        "sendToStation": may and switch(),
        "queryRetrieve": may and switch(),
        "sendOriginalPatientIdAndIssuer": switch(),
        "commit": generator.choice((False, True, "query")),
        "issuerOfPatientId": generator.choice((None, "HOSPA", "H: #1", "0012", "~")),
        "characterSet": generator.choice((None, "ISO_IR 100", "ISO_IR 192")),
    }


def exported(loaded: object) -> bytes:
    plan = loaded.plan  # type: ignore[attr-defined]
    assert plan is not None, loaded.render()  # type: ignore[attr-defined]
    stations = [plan.stations[name] for name in sorted(plan.stations)]
    return json.dumps(document(map(station_json, stations)), indent=2).encode()


def test_f26_a_thousand_stations_go_out_and_in_byte_for_byte(tmp_path: Path) -> None:
    generator = random.Random(26)
    wanted = [made(generator, number) for number in range(1000)]
    data = json.dumps(document(wanted), indent=2).encode()
    folder = write(tmp_path, base=BASE, tls=TLS)
    changed = change_stations(load(folder, all_plugs()), folder, all_plugs(), read_document(data))
    assert changed.loaded.plan is not None, changed.loaded.render()
    assert len(changed.changes) == len(changed.texts) == 1000
    for path, text in changed.texts.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    again = load(folder, all_plugs())
    first = exported(again)
    by_name = {each["name"]: each for each in wanted}
    for each in json.loads(first)["stations"]:
        assert each == by_name[each["name"]]

    same = change_stations(again, folder, all_plugs(), read_document(first))
    assert (same.changes, dict(same.texts)) == ((), {})
    other = write(tmp_path / "other", base=BASE, tls=TLS)
    there = change_stations(load(other, all_plugs()), other, all_plugs(), read_document(first))
    assert exported(there.loaded) == first


@pytest.mark.parametrize("seed", range(3))
def test_f27_any_station_becomes_any_other_in_the_file_it_is_in(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    before = [made(generator, number) for number in range(60)]
    after = [
        {**made(generator, number), "name": each["name"]} for number, each in enumerate(before)
    ]
    folder = write(tmp_path, base=BASE, tls=TLS)
    plugs = all_plugs()

    def take(stations: list[dict[str, object]]) -> bytes:
        wanted = read_document(json.dumps(document(stations)).encode())
        changed = change_stations(load(folder, plugs), folder, plugs, wanted)
        for path, text in changed.texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="")
        return exported(load(folder, plugs))

    first = take(before)
    second = take(after)
    assert first != second
    assert take(before) == first, "and back again"
