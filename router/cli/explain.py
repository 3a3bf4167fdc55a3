"""`explain FILE | --instance | --task`: facts, predicates, changes, destinations, attempts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from router.cli.common import config_folder, config_option, emit_json, format_option
from router.cli.explain_held import explain_instance, explain_task
from router.cli.explain_shown import explanation_text
from router.cli.plan import plan_in_use, plan_or_exit, shown_mapping_key
from router.dicom.part10 import open_part10
from router.errors import BadDataset
from router.flow.explain import Explanation, Subject
from router.flow.explain import explain as explain_subject
from router.flow.told import explanation_json
from router.model.instance import Source
from router.model.plan import Plan
from router.plugs import morphs_by_name


@click.command()
@config_option
@format_option
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--instance", default=None, metavar="UID|ID", help="An instance accepted here.")
@click.option("--task", "task_id", type=int, default=None, help="A task, with its instances.")
@click.option("--from", "station", default=None, help="FILE as if this station had sent it.")
@click.option("--listener", default=None, help="FILE as if it had come to this listener.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Instances of a task.",
)
def explain(
    config: Path | None,
    form: str,
    file: Path | None,
    instance: str | None,
    task_id: int | None,
    station: str | None,
    listener: str | None,
    limit: int,
) -> int:
    """Say what the rules do with a DICOM file, an instance held here, or a task, and why.

    Of an instance or a task also what was decided when it came, and each attempt's answer.
    """
    if sum(one is not None for one in (file, instance, task_id)) != 1:
        raise click.UsageError("give one of: FILE, --instance UID or ID, --task ID")
    if file is None and (station is not None or listener is not None):
        raise click.UsageError("--from and --listener go with FILE: of others they are known")
    folder = config_folder(config)
    plan = plan_or_exit(folder) if file is not None else plan_in_use(folder)
    if file is not None:
        told = _explain_file(plan, file, _source(plan, station, listener))
        value, text = explanation_json(told), explanation_text(told)
    elif instance is not None:
        value, text = explain_instance(plan, instance)
    else:
        assert task_id is not None
        value, text = explain_task(plan, task_id, limit)
    if form == "json":
        emit_json(value)
    else:
        click.echo(text)
    return 0


def _explain_file(plan: Plan, file: Path, source: Source) -> Explanation:
    part10 = open_part10(file)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def read(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, part10.data_set_offset + offset)

    subject = Subject(
        read=read,
        length=file.stat().st_size - part10.data_set_offset,
        transfer_syntax_uid=part10.transfer_syntax_uid,
        sop_class_uid=part10.sop_class_uid,
        source=source,
        received_at=time.time(),
    )
    try:
        return explain_subject(plan, subject, morphs_by_name(), shown_mapping_key(plan))
    except BadDataset as error:
        raise click.ClickException(
            f"{file}: would be refused with status 0x{error.status:04X}: {error}"
        ) from error
    finally:
        os.close(descriptor)


def _source(plan: Plan, station: str | None, listener: str | None) -> Source:
    known = plan.stations.get(station) if station else None
    if station and known is None:
        raise click.UsageError(f"there is no station {station!r}")
    first = next((one for one in plan.listeners.values() if one.kind == "dimse"), None)
    return Source(
        listener=listener or (first.name if first else ""),
        calling_ae_title=known.ae_title if known else "",
        called_ae_title=plan.router.ae_title,
        address=known.host if known else "",
        station=station,
    )
