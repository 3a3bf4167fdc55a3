"""The API against schemathesis, which makes requests from our own OpenAPI document.

With a token that may everything and without one: no 5xx, and only statuses, media types and bodies
that the document names. The seed is fixed, so that what it finds is found again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import environment
from tests.support.web_site import WebSite

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
# A stream that does not end by itself, and what waits for the whole router to take a folder.
SLOW = ("/events", "/configuration/apply")
SCOPES = ("read", "operate", "configure", "phi")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("site"))
    yield made
    made.router.assert_balanced()
    made.close()


class Run:
    """schemathesis beside the router; `end` is its report."""

    def __init__(self, site: WebSite, work: Path, token: str, *words: str) -> None:
        base = f"http://127.0.0.1:{site.http}"
        answer = site.client(site.token("read")).get("/api/v1/openapi.json")
        document = work / "openapi.json"
        document.write_text(answer.text, "utf-8")
        headers = ["-H", f"Authorization: Bearer {token}"] if token else []
        command = [
            str(Path(sys.executable).with_name("st")), "run", str(document), "--origin", base,
            *headers, "--checks", CHECKS, "--warnings", "off", "--no-color", "--seed", "20261127",
            "--generation-database", "none", *words,
        ]  # fmt: skip
        hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks"}
        self.process = subprocess.Popen(
            command, cwd=work, env=environment(hooks), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def end(self, timeout_seconds: float) -> tuple[int, str]:
        """Exit code and report."""
        report = self.process.communicate(timeout=timeout_seconds)[0]
        return self.process.returncode, report


def _check(site: WebSite, work: Path, seconds: float, *words: str) -> None:
    runs = []
    for name, token in (("token", site.token(*SCOPES)), ("anonymous", "")):
        (work / name).mkdir()
        runs.append(Run(site, work / name, token, *words))
    reports = [run.end(seconds) for run in runs]
    for code, report in reports:
        assert code == 0, report[-6000:]
    paths = json.loads((work / "token" / "openapi.json").read_text("utf-8"))["paths"]
    operations = sum(map(len, paths.values())) - words.count("--exclude-path")
    for _, report in reports:
        assert re.search(rf"Tested: +{operations}\b", report), report[-3000:]
    log = site.router.process.errors.read_text()  # type: ignore[union-attr]
    assert "a request failed" not in log, "a bug was answered, and logged"
    assert site.client().get("/-/healthy").status_code == 200


def test_F34_no_generated_request_breaks_the_api(site: WebSite, tmp_path: Path) -> None:
    left_out = [word for path in SLOW for word in ("--exclude-path", path)]
    _check(site, tmp_path, 60, "--phases", "fuzzing", "-n", "2", *left_out)


@pytest.mark.long
def test_F34_no_generated_request_breaks_the_api_long(site: WebSite, tmp_path: Path) -> None:
    words = ("--exclude-path", "/events", "--phases", "examples,coverage,fuzzing", "-n", "60")
    _check(site, tmp_path, 1200, *words)
