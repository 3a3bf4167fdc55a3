"""Fixtures for every test: real peers on ports of their own, and the product as a process.

What a test starts is gone when it ends. Missing peers fail in continuous integration and are
shouted about elsewhere. After each test that ran a router, its account must balance.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import corpus, language_server
from tests.support import javascript_clients as javascript_clients_support
from tests.support import orthanc as orthanc_peer
from tests.support import storescp as storescp_peer
from tests.support.orthanc import Orthanc
from tests.support.router_process import DEFAULT_SITE, Router
from tests.support.sources import FIGURES
from tests.support.storescp import StoreScp

StoreScpFactory = Callable[..., StoreScp]
OrthancFactory = Callable[..., Orthanc]
RouterFactory = Callable[..., Router]

_LOUD = "LOUD: "


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the long forms too; `--accept-counts`: a new baseline of the guard."""
    parser.addoption("--long", action="store_true", help="run the long form of every suite")
    parser.addoption(
        "--accept-counts", action="store_true", help="write the counts of the regression guard"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `long`, unless asked for."""
    if config.getoption("--long") or "long" in (config.getoption("-m") or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the figures of the shape, and loudly what did not run because something is missing."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if _LOUD in reason:
            reason = reason.split(_LOUD, 1)[1]
            reasons[reason] = reasons.get(reason, 0) + 1
    for figure in terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.write_line(f"shape: {figure}")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"!!! {count} tests DID NOT RUN: {reason}", red=True, bold=True)


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; continuous integration must have it")
    pytest.skip(f"{_LOUD}{what} is not installed (make setup)")


@pytest.fixture
def dcmtk() -> None:
    """DCMTK's programs are on this machine."""
    if not storescp_peer.is_installed():
        _missing("DCMTK")


@pytest.fixture(scope="session")
def promtool() -> None:
    """Prometheus and its promtool are on this machine."""
    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        _missing("Prometheus")


@pytest.fixture(scope="session")
def yaml_language_server() -> None:
    """The YAML language server, and Node.js to run it, are on this machine."""
    if not language_server.is_installed():
        _missing("yaml-language-server")


@pytest.fixture(scope="session")
def javascript_clients() -> None:
    """dicomweb-client and dcmjs-dimse, and Node.js to run them, are on this machine."""
    if not javascript_clients_support.is_installed():
        _missing("dicomweb-client and dcmjs-dimse (npm)")


@pytest.fixture
def storescp(tmp_path: Path, dcmtk: None) -> Iterator[StoreScpFactory]:
    """Factory of storescp destinations; keywords as for `StoreScp`."""
    made: list[StoreScp] = []

    def make(**options: object) -> StoreScp:
        folder = tmp_path / f"storescp-{len(made)}"
        made.append(StoreScp(folder, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for peer in made:
        peer.kill()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[OrthancFactory]:
    """Factory of Orthanc servers with DICOMweb; keywords as for `Orthanc`."""
    if not orthanc_peer.is_installed():
        _missing("Orthanc with its DICOMweb plugin")
    made: list[Orthanc] = []

    def make(**options: object) -> Orthanc:
        made.append(Orthanc(tmp_path / f"orthanc-{len(made)}", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for peer in made:
        peer.kill()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RouterFactory]:
    """Factory of routers: `router(site_text, destination=port)` writes the configuration and
    starts; `start=False` only writes. Afterwards each account must balance (P12)."""
    made: list[Router] = []

    def make(site: str = DEFAULT_SITE, *, start: bool = True, **names: object) -> Router:
        made.append(Router(tmp_path / f"router-{len(made)}", site, **names))  # type: ignore[arg-type]
        if start:
            made[-1].start()
        return made[-1]

    yield make
    try:
        for one in made:
            if one.expect_balanced and one.data_dir.exists():
                one.assert_balanced()
    finally:
        for one in made:
            one.kill()


@pytest.fixture
def shared_corpus() -> tuple[corpus.CorpusFile, ...]:
    """The shared corpus of real files; skips loudly when it is not beside the project."""
    return corpus.required()
