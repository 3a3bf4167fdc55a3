"""`support-bundle`: one archive for whoever helps, without patients and secrets."""

from __future__ import annotations

import time
from pathlib import Path

import click

from router.cli.common import EXIT_FAILED, config_folder, config_option, emit_json, format_option
from router.cli.plan import last_plan, load_folder
from router.serve.bundle import lines_of_file, lines_of_service, make_bundle, write_bundle


@click.command(name="support-bundle")
@config_option
@format_option
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Where to; *.tar.gz.")
@click.option(
    "--log", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
    help="The file the log is kept in; without it the journal of systemd is asked.",
)  # fmt: skip
@click.option("--service", default="dicom-router", show_default=True, help="Its name there.")
def support_bundle(
    config: Path | None, form: str, output: Path | None, log: Path | None, service: str
) -> int:
    """Put what somebody needs to help into one archive (0600): state, configuration, log, findings.

    Patients, UIDs and secrets are masked. Nothing is sent anywhere. Exit 1 when it cannot be made.
    """
    folder = config_folder(config)
    loaded = load_folder(folder)
    plan = loaded.plan or last_plan(folder, loaded)
    if plan is None:
        click.echo(loaded.render(), err=True)
        return EXIT_FAILED
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = output or Path(f"dicom-router-support-{stamp}.tar.gz")
    files = make_bundle(
        plan,
        folder,
        loaded.sources,
        loaded.problems,
        lambda: lines_of_file(log) if log is not None else lines_of_service(service),
    )
    try:
        write_bundle(target, files)
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error
    if form == "json":
        emit_json({"file": str(target), "parts": {name: len(part) for name, part in files.items()}})
        return 0
    click.echo(f"{target}: {', '.join(files)}")
    click.echo("patients, UIDs and secrets are masked; look through it before you give it away")
    return 0
