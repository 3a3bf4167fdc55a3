"""The systemd unit of a router, written from its configuration. Pure: texts in, texts out.

Least rights: a user of its own, a read-only system but for what the configuration has it write, no
capability but the port below 1024 that a listener asks for. Stopping is bounded; exit 2 (something
waits for the next start) is no failure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.model.plan import Plan
from router.serve.supervisor import KILL_AFTER_SECONDS

PRIVILEGED_BELOW: Final = 1024
_STATE: Final = Path("/var/lib")
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
# The supervisor ends what does not end by itself; the manager waits a little longer than that.
STOP_SECONDS: Final = int(KILL_AFTER_SECONDS) + 25
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class Service:
    """What a unit is written from. Paths are absolute; `program` are the words before `run`."""

    name: str
    user: str
    plan: Plan
    folder: Path
    program: tuple[str, ...]


def unit_text(service: Service) -> str:
    """The unit file. Raises ValueError for a path that no unit can name."""
    plan, words = service.plan, (*service.program, "run", "--config", str(service.folder))
    command = " ".join(_word(word, is_command=True) for word in words)
    capability = "CAP_NET_BIND_SERVICE" if privileged_ports(plan) else ""
    needed = (Path(service.program[0]), service.folder, *written_folders(service))
    lines = [
        "# Written by `dicom-router service install`; change it with `systemctl edit`, which leaves it be.",
        "[Unit]",
        f"Description=DICOM router {_plain(plan.router.name)}",
        "Documentation=man:systemd.service(5)",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=notify",
        f"User={service.user}",
        f"Group={service.user}",
        f"ExecStart={command}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        # The environment of secrets as {env: NAME}; missing where there are none.
        f"EnvironmentFile=-/etc/default/{service.name}",
        "Restart=on-failure",
        "RestartSec=5",
        "RestartPreventExitStatus=64",
        "SuccessExitStatus=2",
        "KillMode=mixed",
        f"TimeoutStopSec={STOP_SECONDS}",
        "TimeoutStartSec=15min",
        "LimitNOFILE=65536",
        "LimitCORE=0",
        "UMask=0077",
        *_state(data_dir_of(plan)),
        *(f"ReadWritePaths={_word(f'-{path}')}" for path in written_folders(service)),
        f"AmbientCapabilities={capability}",
        f"CapabilityBoundingSet={capability}",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"ProtectHome={_homes(needed)}",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RemoveIPC=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def user_text(service: Service) -> str:
    """The sysusers.d file that makes the user: no password, no shell."""
    home = _plain(str(data_dir_of(service.plan))).replace('"', "")
    return f'u {service.user} - "DICOM router" "{home}"\n'


def privileged_ports(plan: Plan) -> tuple[int, ...]:
    """Ports of listeners that need a capability."""
    ports = {one.port for one in plan.listeners.values()}
    return tuple(sorted(port for port in ports if 0 < port < PRIVILEGED_BELOW))


def data_dir_of(plan: Plan) -> Path:
    """The data directory, without steps up."""
    return Path(os.path.normpath(plan.router.data_dir))


def is_managed_state(data_dir: Path) -> bool:
    """Whether systemd makes the data directory, and gives it to the user, by itself."""
    return data_dir != _STATE and data_dir.is_relative_to(_STATE)


def written_folders(service: Service) -> tuple[Path, ...]:
    """What the router writes besides a managed data directory; owners and modes still decide.

    The configuration's folder for pages and API, folders that are stations, and where releases lie.
    """
    plan = service.plan
    found = [service.folder]
    if not is_managed_state(data_dir_of(plan)):
        found.append(data_dir_of(plan))
    found += [one.path for one in plan.stations.values() if one.path is not None]
    if plan.deploy is not None or service.folder.is_symlink():
        found.append(service.folder.parent)
    return tuple(dict.fromkeys(found))


def _state(data_dir: Path) -> list[str]:
    if not is_managed_state(data_dir):
        return []
    return [
        f"StateDirectory={_word(str(data_dir.relative_to(_STATE)))}",
        "StateDirectoryMode=0700",
    ]


def _homes(needed: Iterable[Path]) -> str:
    """Homes are hidden, unless something that is needed lies in one."""
    is_there = any(path.is_relative_to(home) for path in needed for home in _HOMES)
    return "read-only" if is_there else "yes"


def _word(text: str, *, is_command: bool = False) -> str:
    """One word of a unit: specifiers, and variables of a command, are taken literally.

    Raises ValueError for control characters.
    """
    if not text.isprintable():
        raise ValueError(f"{text!r} cannot be written into a unit: it has control characters")
    found = text.replace("%", "%%")
    if is_command:
        found = found.replace("$", "$$")
    if not set(found) & set(" \t\"'\\;"):
        return found
    quoted = found.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).replace("%", "%%")
