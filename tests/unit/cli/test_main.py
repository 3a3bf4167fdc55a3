"""The command itself: verbs loaded one at a time, exit codes, and the folder it works on."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import click
import pytest
from click.testing import CliRunner

from router import __version__
from router.cli import main
from router.cli.common import config_folder, iso_time, table
from router.errors import StoreDown
from tests.support.process import PROJECT, environment

HEAVY = ("pydicom", "pynetdicom", "httpx", "jinja2", "sqlite3", "uvicorn", "starlette", "yaml")
WHAT_IS_LOADED = """
import json, sys
from router.cli import main
sys.argv = ["dicom-router", *sys.argv[1:]]
try:
    main.entry()
except SystemExit as ended:
    modules = {name.partition(".")[0] for name in sys.modules}
    ours = sorted(name for name in sys.modules if name.startswith("router.cli."))
    print(json.dumps([ended.code, sorted(modules), ours]))
"""


def loaded_by(*words):
    """Exit code, top-level packages and our own command modules that a call has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", WHAT_IS_LOADED, *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=environment(),
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nonsense"]])
def test_asking_for_help_loads_nothing_heavy(words):
    code, modules, ours = loaded_by(*words)
    assert code == (64 if words == ["nonsense"] else 0)
    assert not set(HEAVY) & set(modules)
    assert ours == ["router.cli.common", "router.cli.main"]


def test_a_verb_loads_its_own_module_and_no_other_verbs():
    _, modules, ours = loaded_by("init", "--help")
    assert "router.cli.configuration" in ours
    assert not {"router.cli.run", "router.cli.demo", "router.cli.watch"} & set(ours)
    assert "uvicorn" not in modules


def test_reading_a_configuration_loads_no_protocol():
    code, modules, _ = loaded_by("check", "--config", "rules")
    assert code == 0
    assert not {"pynetdicom", "httpx", "cryptography", "sqlite3", "starlette"} & set(modules)


def test_every_verb_is_listed_with_its_summary_and_exists():
    runner = CliRunner()
    shown = runner.invoke(main.main, ["--help"])
    assert shown.exit_code == 0
    assert set(main.VERBS) == set(main.SUMMARIES)
    for verb, summary in main.SUMMARIES.items():
        assert f"  {verb}" in shown.output
        own = runner.invoke(main.main, [verb, "--help"])
        assert own.exit_code == 0, verb
        assert own.output.startswith(f"Usage: main {verb}"), verb
        assert summary.endswith("."), verb


def test_the_version_is_that_of_the_package():
    assert __version__ in CliRunner().invoke(main.main, ["--version"]).output


def ending(error):
    @click.command()
    def verb():
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (click.UsageError("no such folder"), 64, "no such folder"),
        (click.ClickException("nothing was queued"), 1, "nothing was queued"),
        (StoreDown("the ledger failed: SQLITE_CORRUPT"), 1, "dicom-router: the ledger failed"),
        (click.Abort(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_how_a_verb_ends_is_the_exit_code_and_no_traceback(monkeypatch, capsys, error, code, said):
    module = types.ModuleType("a_verb_of_the_test")
    module.verb = ending(error)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main.VERBS, "verb", "a_verb_of_the_test:verb")
    monkeypatch.setattr(sys, "argv", ["dicom-router", "verb"])
    with pytest.raises(SystemExit) as ended:
        main.entry()
    captured = capsys.readouterr()
    assert ended.value.code == code
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(("returned", "code"), [(0, 0), (1, 1), (2, 2), (None, 0)])
def test_what_a_verb_returns_is_the_exit_code(monkeypatch, returned, code):
    module = types.ModuleType("a_verb_of_the_test")
    module.verb = click.command()(lambda: returned)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main.VERBS, "verb", "a_verb_of_the_test:verb")
    monkeypatch.setattr(sys, "argv", ["dicom-router", "verb"])
    with pytest.raises(SystemExit) as ended:
        main.entry()
    assert ended.value.code == code


def test_the_folder_is_the_given_one_then_the_environments_then_rules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DICOM_ROUTER_CONFIG", raising=False)
    for name in ("given", "named", "rules"):
        (tmp_path / name).mkdir()
    assert str(config_folder(None)) == "rules"
    monkeypatch.setenv("DICOM_ROUTER_CONFIG", str(tmp_path / "named"))
    assert config_folder(None) == tmp_path / "named"
    assert config_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.setenv("DICOM_ROUTER_CONFIG", str(tmp_path / "missing"))
    with pytest.raises(click.UsageError, match="missing is not a folder"):
        config_folder(None)


def test_without_any_folder_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DICOM_ROUTER_CONFIG", raising=False)
    monkeypatch.setattr("router.cli.common.Path.is_dir", lambda _: False)
    with pytest.raises(click.UsageError, match="dicom-router init"):
        config_folder(None)


def test_times_and_tables_as_people_read_them():
    assert iso_time(None) is None
    assert iso_time(0.9) == "1970-01-01T00:00:00Z"
    assert iso_time(1_795_323_491.0) == "2026-11-22T04:58:11Z"
    assert table([["ID", "STATUS"], ["7", ""], ["1234", "On Hold"]]) == (
        "ID    STATUS\n7\n1234  On Hold"
    )
    assert table([["NAME", "ID"], ["山田^太郎", "7"], ["Jose\u0301", "8"]]) == (
        "NAME       ID\n山田^太郎  7\nJose\u0301       8"
    )
