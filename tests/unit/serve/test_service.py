"""`service`: the unit's text as systemd judges it, refusals before anything is written, and undoing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from router.serve import service as module
from router.serve.service import Layout, NotInstalled, install, preflight, remove
from router.serve.supervisor import KILL_AFTER_SECONDS
from router.serve.unit import STOP_SECONDS, Service, unit_text, user_text
from tests.support.process import free_port, run

SITE = """\
router: {{name: "edge 100%", ae_title: EDGE, data_dir: {data_dir}}}
listeners:
  lan: {{type: dimse, bind: "127.0.0.1:{port}"}}
"""


def wanted(folder: Path, *, data_dir="/var/lib/dicom-router", port=0, more="", program=()):
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "a.yaml").write_text(
        "version: 1\n" + SITE.format(data_dir=data_dir, port=port or free_port()) + more
    )
    from router.config.load import load
    from router.plugs import all_plugs

    loaded = load(config, all_plugs(), environment={})
    assert loaded.plan is not None, loaded.render()
    return Service(
        "dicom-router",
        "dicom-router",
        loaded.plan,
        config,
        program or (sys.executable, "-m", "router"),
    )


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


MORE = """\
stations:
  room: {type: folder, path: /srv/a b, send: true}
"""


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="LOUD: systemd is not installed")
@pytest.mark.parametrize("port", [0, 104])
def test_f2_systemd_takes_the_unit_and_finds_it_well_protected(tmp_path, port):
    odd = tmp_path / "a b;c%d"
    service = wanted(odd, port=port, more=MORE)
    unit = tmp_path / "dicom-router.service"
    unit.write_text(unit_text(service))
    judged = run(["systemd-analyze", "verify", unit])
    assert (judged.returncode, judged.stderr) == (0, "")
    judged = run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit])
    level = float(judged.stdout.rpartition("service: ")[2].split()[0])
    assert level < 3.0


def test_f2_it_stops_within_a_bounded_time_and_reloads_by_sighup(tmp_path):
    unit = settings(unit_text(wanted(tmp_path)))
    assert unit["Type"] == ["notify"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["KillMode"] == ["mixed"]
    assert float(unit["TimeoutStopSec"][0]) == STOP_SECONDS > KILL_AFTER_SECONDS
    assert unit["SuccessExitStatus"] == ["2"], "what waits for the next start is no failure"
    assert unit["Restart"] == ["on-failure"]
    assert unit["User"] == ["dicom-router"]
    assert unit["StateDirectory"] == ["dicom-router"]
    assert unit["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize(("port", "capability"), [(104, "CAP_NET_BIND_SERVICE"), (11112, "")])
def test_f12_only_a_privileged_port_brings_a_capability(tmp_path, port, capability):
    unit = settings(unit_text(wanted(tmp_path, port=port)))
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == [capability]


def test_what_the_configuration_has_it_write_is_writable_and_nothing_else(tmp_path):
    service = wanted(tmp_path, data_dir="/data/images", more=MORE)
    unit = settings(unit_text(service))
    assert unit["ReadWritePaths"] == [f"-{service.folder}", "-/data/images", '"-/srv/a b"']
    assert unit["ProtectSystem"] == ["strict"]
    assert "StateDirectory" not in unit
    assert unit["ProtectHome"] == ["yes"]
    unit = settings(unit_text(wanted(tmp_path, data_dir="/home/x/data")))
    assert unit["ProtectHome"] == ["read-only"]
    service = wanted(tmp_path, data_dir="/var/lib/x/../dicom-router")
    assert settings(unit_text(service))["StateDirectory"] == ["dicom-router"]


def test_words_of_a_command_are_literal(tmp_path):
    service = wanted(tmp_path, program=('/opt/a "b"/$HOME/100%/router',))
    (command,) = settings(unit_text(service))["ExecStart"]
    assert command.startswith(r'"/opt/a \"b\"/$$HOME/100%%/router" run --config ')
    with pytest.raises(ValueError, match="control characters"):
        unit_text(wanted(tmp_path, program=("/opt/a\nExecStartPre=/bin/false",)))
    assert "\n" not in user_text(service).strip()


def here(monkeypatch, *, uid: int, systemd: bool):
    monkeypatch.setattr(module.os, "geteuid", lambda: uid)
    known = Path.is_dir

    def is_dir(path):
        return systemd if str(path) == "/run/systemd/system" else known(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)


def test_f6_without_root_and_without_systemd_it_says_what_is_missing(tmp_path, monkeypatch):
    here(monkeypatch, uid=65534, systemd=False)
    found = {
        one.check: one
        for one in preflight(wanted(tmp_path), Layout(Path("/"), "dicom-router-x"), replace=False)
    }
    assert found["privileges"].level == found["systemd"].level == "problem"
    assert "needs root, and you are nobody" in found["privileges"].message
    assert "--root DIR" in found["systemd"].fix
    here(monkeypatch, uid=0, systemd=True)
    found = {
        one.check: one
        for one in preflight(wanted(tmp_path), Layout(Path("/"), "dicom-router-x"), replace=False)
    }
    assert not {"privileges", "systemd"} & set(found)
    assert "temporary" in found["place"].message, "a unit with PrivateTmp would not see it"


def test_what_must_be_done_before_the_start_is_told(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    secret = tmp_path / "config" / "s"
    secret.write_text("x")
    secret.chmod(0o600)
    monkeypatch.setenv("HOOK", "x")
    service = wanted(
        tmp_path, data_dir=str(tmp_path / "images"),
        more='stations:\n  c: {type: dicomweb, url: "https://c.example", auth: {type: bearer, token: {file: s}}}\n'
        'webhooks:\n  w: {url: "https://h.example", secret: {env: HOOK}}\n',
    )  # fmt: skip
    layout = Layout(tmp_path / "root", "dicom-router")
    layout.root.mkdir()
    found = {one.check: one for one in preflight(service, layout, replace=False)}
    assert not [one for one in found.values() if one.level == "problem"]
    assert f"chown dicom-router: {secret}" in found["secret stations.c.token"].fix
    assert f"mkdir -p -m 700 {tmp_path / 'images'}" in found["data directory"].fix
    assert "HOOK must be in the environment" in found["secrets"].message
    assert "/etc/default/dicom-router" in found["secrets"].fix


class Commands:
    """What was run; what begins with one of `fails` fails."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.ran: list[str] = []

    def __call__(self, words) -> None:
        self.ran.append(" ".join(words))
        if self.ran[-1].startswith(self.fails):
            raise NotInstalled(f"{self.ran[-1]}: it does not come up")


class Here(Layout):
    """A folder that is treated as this machine."""

    @property
    def is_here(self) -> bool:
        return True


def files_below(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() or path.is_symlink()
    }


UNIT = "etc/systemd/system/dicom-router.service"
WANTED = "etc/systemd/system/multi-user.target.wants/dicom-router.service"
USERS = "etc/sysusers.d/dicom-router.conf"


def test_f2_another_root_gets_unit_user_and_start_at_boot_and_loses_them_again(tmp_path):
    layout, commands = Layout(tmp_path / "root", "dicom-router"), Commands()
    service = wanted(tmp_path)
    done = list(install(service, layout, start=True, run=commands))
    assert files_below(layout.root) == {UNIT, WANTED, USERS}
    assert layout.wanted.read_text() == unit_text(service), "the link leads to the unit"
    assert layout.users.read_text().startswith("u dicom-router - ")
    assert done[-1] == "enabled: it starts with the machine"
    (again,) = [one for one in preflight(service, layout, replace=False) if one.check == "service"]
    assert again.level == "problem"
    assert "is there already" in again.message
    assert not [one for one in preflight(service, layout, replace=True) if one.check == "service"]
    list(remove(layout, commands))
    assert files_below(layout.root) == set()
    assert commands.ran == [], "nothing of this machine was touched"


def test_f6_a_service_that_does_not_come_up_leaves_nothing(tmp_path):
    layout, commands = Here(tmp_path / "root", "dicom-router"), Commands("systemctl restart")
    with pytest.raises(NotInstalled, match="does not come up; everything is as it was before"):
        list(install(wanted(tmp_path), layout, start=True, run=commands))
    assert files_below(layout.root) == set()
    assert commands.ran[-2:] == ["systemctl daemon-reload", "systemctl stop dicom-router.service"]


def test_f6_a_new_unit_that_does_not_come_up_gives_way_to_the_one_before(tmp_path):
    layout = Here(tmp_path / "root", "dicom-router")
    list(install(wanted(tmp_path, port=11112), layout, start=True, run=Commands()))
    before = layout.unit.read_bytes()
    commands = Commands("systemctl restart")
    with pytest.raises(NotInstalled):
        list(install(wanted(tmp_path, port=104), layout, start=True, run=commands))
    assert layout.unit.read_bytes() == before
    assert files_below(layout.root) == {UNIT, WANTED, USERS}
    assert commands.ran[-1] == "systemctl restart dicom-router.service"


def test_f6_what_did_not_run_before_does_not_run_afterwards(tmp_path):
    layout = Here(tmp_path / "root", "dicom-router")
    list(install(wanted(tmp_path, port=11112), layout, start=False, run=Commands()))
    commands = Commands("systemctl is-active", "systemctl restart")
    with pytest.raises(NotInstalled, match="systemctl restart"):
        list(install(wanted(tmp_path, port=104), layout, start=True, run=commands))
    assert commands.ran[-1] == "systemctl stop dicom-router.service"
    running = Commands("systemd-sysusers")
    with pytest.raises(NotInstalled, match="systemd-sysusers"):
        list(install(wanted(tmp_path, port=104), layout, start=True, run=running))
    assert running.ran[-1] == "systemctl daemon-reload", "what runs was not touched, and runs on"


def test_f9_removing_stops_first_and_only_then_takes_files_away(tmp_path):
    layout = Here(tmp_path / "root", "dicom-router")
    list(install(wanted(tmp_path), layout, start=False, run=Commands()))
    with pytest.raises(NotInstalled):
        list(remove(layout, Commands("systemctl disable")))
    assert files_below(layout.root) == {UNIT, WANTED, USERS}
    commands = Commands()
    list(remove(layout, commands))
    assert commands.ran == [
        "systemctl disable --now dicom-router.service",
        "systemctl daemon-reload",
    ]
    assert files_below(layout.root) == set()


def test_a_command_that_fails_says_what_it_said():
    with pytest.raises(NotInstalled, match=r"sh -c .* exited with 3: no way"):
        module.command(["sh", "-c", "echo no way >&2; exit 3"])
    with pytest.raises(NotInstalled, match="No such file"):
        module.command(["/nonexistent/program"])
