"""Fetching one branch of a repository that lies elsewhere, and nothing else of it.

What is fetched lies in a bare repository of ours; git computes the name of every object that comes
in. Only the protocol of the address is spoken, to that host alone: no redirect, no submodule, no
tag, no hook. Credentials go through a file without a name in memory: not in arguments, environment
or on disk. Time, memory and size are bounded by whoever calls this in a process of its own.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from router.config.git import NotDeployed, run_git
from router.model.deployment import DeploySettings, SshKey
from router.model.station import Basic, TlsProfile

_QUIET: Final = (
    "-c", "transfer.fsckObjects=true", "-c", "gc.autoDetach=false",
    "-c", "maintenance.autoDetach=false", "-c", "pack.threads=1",
)  # fmt: skip
_ONLY_THE_BRANCH: Final = (
    "--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """How the repository is reached: the secret of the settings' `auth` ('' for none), the profile."""

    secret: str = ""
    tls: TlsProfile | None = None


def fetch(mirror: Path, settings: DeploySettings, access: Access) -> None:
    """Bring the branch into the mirror, made where it is missing. Raises NotDeployed."""
    if not (mirror / "HEAD").is_file():
        mirror.parent.mkdir(parents=True, exist_ok=True)
        run_git(mirror.parent, "init", "--quiet", "--bare", "--template=", str(mirror))
    address, branch = settings.repository, f"refs/heads/{settings.branch}"
    protocol = urlsplit(address).scheme if "://" in address else "ssh"
    words = (*_QUIET, "-c", f"protocol.{protocol}.allow=always", "fetch", *_ONLY_THE_BRANCH)
    descriptor = _in_memory(_http_settings(settings, access))
    environment = {"GIT_CONFIG_GLOBAL": f"/proc/self/fd/{descriptor}", **_ssh(settings)}
    try:
        run_git(
            mirror, *words, "--", address, f"+{branch}:{branch}",
            environment=environment, descriptors=(descriptor,), seconds=None,
        )  # fmt: skip
    except NotDeployed as error:
        said = str(error)
        for secret in filter(None, (access.secret, _authorization(settings, access))):
            said = said.replace(secret, "********")
        raise NotDeployed(f"the branch cannot be fetched: {said}") from None
    finally:
        os.close(descriptor)


def _http_settings(settings: DeploySettings, access: Access) -> str:
    """The settings of git for this address: what git reads instead of the user's own."""
    if not settings.repository.startswith("http"):
        return ""
    values = {
        "followRedirects": "false",
        "lowSpeedLimit": "1",
        "lowSpeedTime": str(max(1, round(settings.timeout_seconds))),
        "extraHeader": _authorization(settings, access),
    }
    if access.tls is not None:
        files = (("sslCAInfo", access.tls.ca), ("sslCert", access.tls.cert))
        values |= {key: str(path) for key, path in (*files, ("sslKey", access.tls.key)) if path}
    lines = [f"\t{key} = {_quoted(value)}" for key, value in values.items() if value]
    return "\n".join([f"[http {_quoted(settings.repository)}]", *lines, ""])


def _authorization(settings: DeploySettings, access: Access) -> str:
    if not access.secret:
        return ""
    if not isinstance(settings.auth, Basic):
        return f"Authorization: Bearer {access.secret}"
    pair = f"{settings.auth.username}:{access.secret}".encode()
    return f"Authorization: Basic {base64.b64encode(pair).decode('ascii')}"


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise NotDeployed("a file name or a secret of section 'deploy' is not printable")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _in_memory(text: str) -> int:
    descriptor = os.memfd_create("git-settings", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode())
    return descriptor


def _ssh(settings: DeploySettings) -> Mapping[str, str]:
    """Our own way to call ssh: one key, one list of hosts, nobody's configuration, no questions."""
    if not isinstance(settings.auth, SshKey):
        return {}
    seconds = max(1, round(settings.timeout_seconds))
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": f'"{settings.auth.known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ClearAllForwardings": "yes",
        "ProxyCommand": "none",
        "ConnectTimeout": str(seconds),
        "ServerAliveInterval": str(seconds),
        "ServerAliveCountMax": "1",
    }
    words = ["ssh", "-F", "/dev/null", "-i", str(settings.auth.key)]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return {"GIT_SSH_COMMAND": shlex.join(words), "GIT_SSH_VARIANT": "ssh"}
