"""How soon a bomb ends in a message, end to end: python -m tests.bench.bombs

Small texts that are large to compile (YAML, patterns, templates, JSON), each given to `check`, to a
running router by `apply`, and to its API. Prints wall seconds, for `check` also processor seconds and
the peak of memory, and how the first line of the answer reads.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.support.web_site import WebSite
from tests.unit.config.test_bombs import BOMBS

API = "/api/v1"
_ENTRY = '{"name": "a", "aeTitle": "A", "ipAddressOrHostname": "h"}'
JSON_BOMBS = {
    "nested 500,000 deep": '{"stations": ' + "[" * 500_000,
    "a number of a million digits": '{"stations": [{"name": ' + "9" * 1_000_000 + "}]}",
    "18,000 stations": '{"schema": "dicom-router/stations/v1", "stations": ['
    + ", ".join([_ENTRY] * 18_000)
    + "]}",
    "60,000 keys": '{"stations": [{' + ", ".join(f'"k{n}": 1' for n in range(60_000)) + "}]}",
}


def main() -> None:
    """All of them, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (text, _) in BOMBS.items():
            _check(Path(folder) / name.replace(" ", "-"), name, text)
    with tempfile.TemporaryDirectory() as folder:
        site = WebSite(Path(folder) / "site")
        try:
            _running(site)
        finally:
            site.close()


def _check(folder: Path, name: str, text: str) -> None:
    folder.mkdir()
    (folder / "site.yaml").write_text(text)
    answer = folder / "answer"
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        with answer.open("wb") as told:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
        os.execv(sys.executable, [sys.executable, "-m", "router", "check", "--config", str(folder)])
    _, status, usage = os.wait4(pid, 0)
    seconds, used = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024
    first = _first(answer.read_text("utf-8", errors="replace"))
    print(
        f"check  {name:32} {seconds:5.2f} s ({used:.2f} s CPU, {peak:.0f} MiB) exit {code}  {first}"
    )


def _running(site: WebSite) -> None:
    file = site.router.folder / "bomb.yaml"
    for name, (text, _) in BOMBS.items():
        # Keys that the folder has already would be the first mistake: nothing would be compiled.
        file.write_text(text)
        (site.router.folder / "site.yaml").rename(site.router.folder / "site.off")
        told, seconds = _timed(lambda: site.router.command("apply"))
        print(f"apply  {name:32} {seconds:5.2f} s exit {told[0]}  {_first(told[1] + told[2])}")
        (site.router.folder / "site.off").rename(site.router.folder / "site.yaml")
        file.unlink()
    with site.client(site.token("all")) as client:
        _by_api(client)


def _by_api(client: httpx.Client) -> None:
    shown = client.get(f"{API}/configuration/files/site.yaml")
    headers = {"if-match": shown.headers["etag"]}
    for name, (text, _) in BOMBS.items():
        answer, seconds = _timed(
            lambda text=text: client.put(
                f"{API}/configuration/files/site.yaml", json={"text": text}, headers=headers
            )
        )
        print(f"API    {name:32} {seconds:5.2f} s {answer.status_code}  {_detail(answer)}")
    sent = {"content-type": "application/json"}
    for name, text in JSON_BOMBS.items():
        answer, seconds = _timed(
            lambda text=text: client.post(
                f"{API}/stations/import", content=text.encode(), headers=sent
            )
        )
        print(f"API    JSON: {name:26} {seconds:5.2f} s {answer.status_code}  {_detail(answer)}")


def _timed(act: Callable[[], object]) -> tuple[object, float]:
    began = time.monotonic()
    return act(), time.monotonic() - began


def _detail(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return _first(answer.text)
    problems = told.get("problems") or told.get("detail") or json.dumps(told)
    return _first(str(problems[0]) if isinstance(problems, list) else str(problems))


def _first(text: str) -> str:
    return (text.strip().splitlines() or ["(nothing)"])[0][:110]


if __name__ == "__main__":
    main()
