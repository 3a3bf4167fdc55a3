"""Certificates and their ends, keys and secrets that others could read, callers nobody checks.

No secret is read: whether its file can be opened, and by whom, is all that is asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from router.config.secrets import find_file
from router.dimse.certificates import read_certificate
from router.model.deployment import SshKey
from router.model.plan import Plan
from router.model.station import Secret
from router.serve.findings import Finding, ok, problem, warning
from router.serve.places import Places

SOON_DAYS: Final = 30
_DAY_SECONDS: Final = 86_400


def examine_certificates(plan: Plan, now: float | None = None) -> Iterator[Finding]:
    """When each certificate and authority of a TLS profile ends."""
    now = time.time() if now is None else now
    for name, profile in sorted(plan.tls.items()):
        files = {"certificate": profile.cert, "authority": profile.ca}
        for words, path in files.items():
            if path is not None:
                yield _end_of(f"{words} {name}", path, now)


def _end_of(check: str, path: Path, now: float) -> Finding:
    renew = f"put a renewed one in the place of {path}"
    try:
        left = read_certificate(path).not_after - now
    except ValueError as error:
        return problem(check, str(error), renew)
    days = int(left // _DAY_SECONDS)
    if left < 0:
        return problem(check, f"{path} ended {-days} days ago", renew)
    if days < SOON_DAYS:
        return warning(check, f"{path} ends in {days} days", renew)
    return ok(check, f"{path} ends in {days} days")


def examine_keys(plan: Plan, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Private keys, secret files and the key ring: there, readable by us, by nobody else."""
    for check, path in key_files(plan, environment).items():
        yield _kept_close(check, path)


def key_files(plan: Plan, environment: Mapping[str, str]) -> dict[str, Path]:
    """Every file that only the router may read, by what it is."""
    found = {f"key {name}": one.key for name, one in sorted(plan.tls.items()) if one.key}
    for station in plan.stations.values():
        private = getattr(station.auth, "private_key", None)
        if private is not None:
            found[f"key of station {station.name}"] = private
    if plan.deploy is not None and isinstance(plan.deploy.auth, SshKey):
        found["key of deploy"] = plan.deploy.auth.key
    for name, secret in secrets_of(plan).items():
        if secret.kind == "file":
            path = find_file(secret.name, plan.folder, environment)
            found[f"secret {name}"] = path or plan.folder / secret.name
    ring = Places(plan.router.data_dir).keys
    if os.access(ring, os.R_OK | os.X_OK):
        found.update({f"key ring {path.name}": path for path in sorted(ring.iterdir())})
    elif os.path.exists(ring):
        found["key ring"] = ring
    return found


def secrets_of(plan: Plan) -> dict[str, Secret]:
    """Every secret the configuration refers to, by where it stands."""
    found: dict[str, Secret] = {}
    for name, part in (
        ("router", plan.router),
        *((f"stations.{one.name}", one.auth) for one in plan.stations.values()),
        *((f"webhooks.{one}", hook) for one, hook in plan.webhooks.items()),
        ("deploy", plan.deploy),
    ):
        _gather(part, name, found)
    return found


def _gather(value: Any, path: str, found: dict[str, Secret]) -> None:
    if isinstance(value, Secret):
        found[path] = value
    elif is_dataclass(value):
        for one in fields(value):
            _gather(getattr(value, one.name), f"{path}.{one.name}", found)


def _kept_close(check: str, path: Path) -> Finding:
    if not os.path.exists(path):
        return problem(check, f"{path} is not there, or not for this user", "put it there")
    if os.path.isdir(path) or not os.access(path, os.R_OK):
        words = f"{path} cannot be read by this user"
        return problem(check, words, "run this as the router's user, or change its owner")
    mode = path.stat().st_mode & 0o777
    if mode & 0o007:
        return problem(check, f"{path} is open to everyone (mode {mode:04o})", f"chmod 600 {path}")
    if mode & 0o070:
        return warning(check, f"{path} is open to its group (mode {mode:04o})", f"chmod 600 {path}")
    return ok(check, f"{path}")


def examine_callers(plan: Plan) -> Iterator[Finding]:
    """Stations that are believed by their AE title alone, which anyone can say."""
    plain = [one for one in plan.listeners.values() if one.kind == "dimse" and one.tls is None]
    if not plain:
        return
    for name, station in plan.stations.items():
        if station.kind == "dicom" and station.active and not station.host:
            yield warning(
                f"station {name}", f"unauthenticated: whoever says {station.ae_title} is taken for it",
                "write its host, or let it call by TLS with a certificate",
            )  # fmt: skip
    for one in plain:
        if one.accept == "any":
            yield warning(
                f"listener {one.name}", "unauthenticated: it takes images from anyone who asks",
                "accept: known_stations",
            )  # fmt: skip
