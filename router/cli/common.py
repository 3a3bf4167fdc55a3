"""What commands share: the configuration folder, output as text or JSON, exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from router.clock import iso_time as iso_time

EXIT_FAILED = 1
EXIT_PENDING = 2
EXIT_USAGE = 64

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`--config DIR`."""
    return click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path),
        default=None,
        help="The configuration folder; else $DICOM_ROUTER_CONFIG, ./rules, /etc/dicom-router.",
    )(command)


def format_option(command: Command) -> Command:
    """`--format text|json`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Text for people, or JSON for programs.",
    )(command)


def group_of_verbs(name: str, summary: str) -> click.Group:
    """A verb that has verbs: what stands before the second one counts for it, as it does behind."""

    @click.group(name=name, help=summary)
    @config_option
    @format_option
    @click.pass_context
    def group(ctx: click.Context, config: Path | None, form: str) -> None:
        ctx.default_map = {verb: {"config": config, "form": form} for verb in group.commands}

    return group


def config_folder(given: Path | None) -> Path:
    """The folder to read. Raises click.UsageError when there is none."""
    named = given or (Path(path) if (path := os.environ.get("DICOM_ROUTER_CONFIG")) else None)
    if named is not None:
        if not named.is_dir():
            raise click.UsageError(f"{named} is not a folder")
        return named
    for folder in (Path("rules"), Path("/etc/dicom-router")):
        if folder.is_dir():
            return folder
    raise click.UsageError(
        "no configuration folder: give --config DIR, or write one with: dicom-router init DIR"
    )


def emit_json(data: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def fail_text(message: str) -> None:
    """An error for people, on standard error."""
    print(f"dicom-router: {message}", file=sys.stderr)


def table(rows: list[list[str]], *, numbers: Collection[int] = ()) -> str:
    """Columns of text, aligned, those of `numbers` at their ends; the first row is the heading."""
    widths = [max(_cells(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            _padded(text, widths[column], is_number=column in numbers)
            for column, text in enumerate(row)
        ).rstrip()
        for row in rows
    )


def _padded(text: str, width: int, *, is_number: bool) -> str:
    room = " " * (width - _cells(text))
    return room + text if is_number else text + room


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes: CJK characters take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@contextmanager
def interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second ends the command as always."""
    wish = threading.Event()

    def first(_number: int, _frame: FrameType | None) -> None:
        wish.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, before)
