"""`cert new|show`: a certificate to begin with, and when those in use end."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    group_of_verbs,
    iso_time,
    table,
)
from router.cli.plan import plan_in_use
from router.dimse.certificates import read_certificate, self_signed

_DAY_SECONDS: Final = 86_400


cert = group_of_verbs(
    "cert", "Certificates: make a self-signed one, show those in use and when they end."
)


@cert.command(name="new")
@config_option
@format_option
@click.argument("name")
@click.option(
    "--for", "names", multiple=True, required=True, help="A DNS name or IP address; repeatable."
)
@click.option("--days", type=click.IntRange(1, 825), default=397, show_default=True)
@click.option("--replace", is_flag=True, help="Renew: put it in the place of the one there.")
def new(
    config: Path | None, form: str, name: str, names: tuple[str, ...], days: int, *, replace: bool
) -> int:
    """Write tls/NAME.pem and tls/NAME.key into the configuration folder, self-signed.

    Peers must be given the certificate to trust it. A running router takes a renewed one by itself.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise click.UsageError(f"{name!r}: use letters, digits, - and _ for the name")
    folder = config_folder(config) / "tls"
    certificate_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    if not replace and (certificate_path.exists() or key_path.exists()):
        raise click.ClickException(f"{certificate_path} is there already; --replace renews it")
    try:
        certificate, key = self_signed(names, days)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    folder.mkdir(exist_ok=True)
    _write(key_path, key, 0o600)
    _write(certificate_path, certificate, 0o644)
    if form == "json":
        told = _told(read_certificate(certificate_path))
        emit_json({"cert": str(certificate_path), "key": str(key_path), **told})
        return 0
    click.echo(f"wrote {certificate_path} and {key_path}, valid for {days} days")
    click.echo(f"use it as: tls: {{{name}: {{cert: tls/{name}.pem, key: tls/{name}.key}}}}")
    return 0


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


@cert.command(name="show")
@config_option
@format_option
def show(config: Path | None, form: str) -> int:
    """The certificate of each TLS profile; exit 1 when one has ended or cannot be read."""
    plan = plan_in_use(config_folder(config))
    found: list[dict[str, Any]] = []
    failed = False
    for name, profile in sorted(plan.tls.items()):
        if profile.cert is None:
            continue
        try:
            told = _told(read_certificate(profile.cert))
        except ValueError as error:
            told = {"problem": str(error)}
        failed = failed or "problem" in told or told["days_left"] < 0
        found.append({"profile": name, "file": str(profile.cert), **told})
    if form == "json":
        emit_json({"certificates": found})
        return EXIT_FAILED if failed else 0
    rows = [["PROFILE", "SUBJECT", "NAMES", "KEY", "ENDS", "DAYS LEFT", "SHA-256"]]
    for one in found:
        if "problem" in one:
            click.echo(f"{one['profile']}: {one['problem']}", err=True)
            continue
        signed = " (self-signed)" if one["self_signed"] else ""
        names = ", ".join(one["names"])
        days = str(one["days_left"])
        rows.append(
            [
                one["profile"],
                f"{one['subject']}{signed}",
                names,
                one["key"],
                one["not_after"],
                days,
                one["fingerprint"][:16],
            ]
        )
    click.echo(table(rows))
    return EXIT_FAILED if failed else 0


def _told(certificate: Any) -> dict[str, Any]:
    left = certificate.not_after - time.time()
    return {
        **asdict(certificate),
        "self_signed": certificate.is_self_signed,
        "not_before": iso_time(certificate.not_before),
        "not_after": iso_time(certificate.not_after),
        "days_left": int(left // _DAY_SECONDS),
    }
