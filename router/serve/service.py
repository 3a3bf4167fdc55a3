"""`service install` and `remove`: what is looked at first, what is written, how it is undone.

Nothing is written while something stands against it. What fails on the way takes back what was
written. The data directory is never touched: images may be in it that nobody else has.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from router.errors import RouterError
from router.serve.examine_machine import nearest_folder
from router.serve.examine_network import examine_ports
from router.serve.examine_secrets import key_files, secrets_of
from router.serve.findings import Finding, ok, problem, warning
from router.serve.places import Places, is_running
from router.serve.unit import (
    Service,
    data_dir_of,
    is_managed_state,
    privileged_ports,
    unit_text,
    user_text,
)

Commands = Callable[[Sequence[str]], None]
_WANTS: Final = "multi-user.target.wants"
_COMMAND_SECONDS: Final = 20 * 60.0


class NotInstalled(RouterError):
    """A service could not be installed, started or removed; the message says what was undone."""

    retry = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a service lie below a root; `/` is this machine."""

    root: Path
    name: str

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, and not a folder that will become one."""
        return self.root == Path("/")

    @property
    def unit(self) -> Path:
        """The unit."""
        return self.root / "etc/systemd/system" / f"{self.name}.service"

    @property
    def users(self) -> Path:
        """What makes the user."""
        return self.root / "etc/sysusers.d" / f"{self.name}.conf"

    @property
    def wanted(self) -> Path:
        """The link that starts it at boot."""
        return self.root / "etc/systemd/system" / _WANTS / f"{self.name}.service"


def command(words: Sequence[str]) -> None:
    """Run a program of the system. Raises NotInstalled with what it said."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{' '.join(words)}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise NotInstalled(f"{' '.join(words)} exited with {done.returncode}: {said}")


def preflight(service: Service, layout: Layout, *, replace: bool) -> Iterator[Finding]:
    """What stands against installing, and what should be known."""
    yield from _may_install(layout)
    if layout.unit.exists() and not replace:
        yield problem(
            "service", f"{layout.unit} is there already",
            f"dicom-router service remove --name {layout.name}, or --replace to write it anew",
        )  # fmt: skip
    plan = service.plan
    yield ok("configuration", f"{service.folder}, plan {plan.digest[:12]}")
    yield from examine_ports(plan, is_running=is_running(Places(plan.router.data_dir)))
    for port in privileged_ports(plan):
        yield ok(f"port {port}", "privileged: the unit gives CAP_NET_BIND_SERVICE for it")
    if layout.is_here:
        yield from _hidden(service)
    uid = _uid_of(service.user) if layout.is_here else None
    yield from _data_dir(service, uid)
    yield from _readable(service, uid)
    by_environment = [one.name for one in secrets_of(plan).values() if one.kind == "env"]
    if by_environment:
        yield warning(
            "secrets", f"{', '.join(by_environment)} must be in the environment of the service",
            f"write them as NAME=VALUE into /etc/default/{layout.name} (chmod 600)",
        )  # fmt: skip


def _may_install(layout: Layout) -> Iterator[Finding]:
    if not layout.is_here:
        folder = nearest_folder(layout.unit.parent)
        if os.access(folder, os.W_OK):
            yield ok("root", f"{layout.root}: nothing of this machine is touched")
        else:
            yield problem("root", f"{folder} cannot be written", "give another --root")
        return
    if os.geteuid() != 0:
        yield problem(
            "privileges", f"this needs root, and you are {pwd.getpwuid(os.geteuid()).pw_name}",
            "run it with sudo; --print shows the unit, --root DIR writes it elsewhere",
        )  # fmt: skip
    if not Path("/run/systemd/system").is_dir():
        yield problem(
            "systemd", "it does not run on this machine",
            "use --root DIR to prepare another, or have `dicom-router run` started your way",
        )  # fmt: skip


def _hidden(service: Service) -> Iterator[Finding]:
    for path in (service.folder, data_dir_of(service.plan)):
        if any(path.is_relative_to(one) for one in ("/tmp", "/var/tmp")):  # noqa: S108 - compared
            yield problem(
                "place", f"{path}: a service does not see the machine's folders for temporary files",
                "move it, such as to /etc/dicom-router and /var/lib/dicom-router",
            )  # fmt: skip


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _data_dir(service: Service, uid: int | None) -> Iterator[Finding]:
    data_dir = data_dir_of(service.plan)
    if is_managed_state(data_dir):
        yield ok("data directory", f"{data_dir}: systemd makes it, for {service.user} alone")
        return
    folder = nearest_folder(data_dir)
    if folder == data_dir and uid is not None and folder.stat().st_uid == uid:
        yield ok("data directory", f"{data_dir} is of {service.user}")
        return
    make = f"mkdir -p -m 700 {data_dir}; " if folder != data_dir else ""
    yield warning(
        "data directory", f"{data_dir} is not below /var/lib, so systemd does not make it",
        f"before the start: {make}chown -R {service.user}: {data_dir}",
    )  # fmt: skip


def _readable(service: Service, uid: int | None) -> Iterator[Finding]:
    """Keys and secrets are the user's own, or the service cannot start."""
    for check, path in key_files(service.plan, {}).items():
        if path.is_relative_to(service.plan.router.data_dir) or not path.exists():
            continue
        stat = path.stat()
        if stat.st_uid != uid and not stat.st_mode & 0o004:
            yield warning(
                check, f"{path} is not readable for {service.user}",
                f"before the start: chown {service.user}: {path}",
            )  # fmt: skip


def install(
    service: Service, layout: Layout, *, start: bool, run: Commands = command
) -> Iterator[str]:
    """Write, enable and perhaps start it; what was done, as it is done.

    Raises NotInstalled when something fails, with everything as it was before.
    """
    texts = {layout.unit: unit_text(service), layout.users: user_text(service)}
    before = {path: path.read_bytes() if path.exists() else None for path in texts}
    was_wanted = layout.wanted.is_symlink()
    was_started = False
    ran = layout.is_here and before[layout.unit] is not None and _is_active(layout, run)
    try:
        for path, text in texts.items():
            _write(path, text.encode())
            yield f"wrote {path}"
        if layout.is_here:
            run(["systemd-sysusers", str(layout.users)])
            run(["systemctl", "daemon-reload"])
        if not was_wanted:
            layout.wanted.parent.mkdir(parents=True, exist_ok=True)
            layout.wanted.symlink_to(f"../{layout.unit.name}")
        yield "enabled: it starts with the machine"
        if start and layout.is_here:
            was_started = True
            run(["systemctl", "restart", layout.unit.name])
            yield "started: it is ready"
    except (OSError, NotInstalled) as error:
        for path, content in before.items():
            _restore(path, content)
        if not was_wanted:
            layout.wanted.unlink(missing_ok=True)
        if layout.is_here:
            _again(layout, ("restart" if ran else "stop") if was_started else None, run)
        raise NotInstalled(f"{error}; everything is as it was before") from error


def _is_active(layout: Layout, run: Commands) -> bool:
    try:
        run(["systemctl", "is-active", layout.unit.name])
    except NotInstalled:
        return False
    return True


def _again(layout: Layout, then: Literal["restart", "stop"] | None, run: Commands) -> None:
    """Let the manager see the files as they were; what ran before runs again, what did not does not."""
    commands = [["systemctl", "daemon-reload"]]
    if then is not None:
        commands.append(["systemctl", then, layout.unit.name])
    for words in commands:
        with suppress(NotInstalled):  # the first failure is what is told
            run(words)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.chmod(0o644)
    fresh.replace(path)


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        _write(path, content)


def remove(layout: Layout, run: Commands = command) -> Iterator[str]:
    """Stop it, within its time, and take away what `install` wrote. Raises NotInstalled."""
    if layout.is_here:
        run(["systemctl", "disable", "--now", layout.unit.name])
        yield "stopped"
    try:
        for path in (layout.wanted, layout.unit, layout.users):
            if path.is_symlink() or path.exists():
                path.unlink()
                yield f"removed {path}"
    except OSError as error:
        raise NotInstalled(f"{error.filename}: {error.strerror}") from error
    if layout.is_here:
        run(["systemctl", "daemon-reload"])
