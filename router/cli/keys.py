"""`keys new|rotate|list|export|import`: the key ring under which everything held here is sealed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import (
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    group_of_verbs,
    table,
)
from router.cli.plan import plan_in_use
from router.errors import StoreDown
from router.flow.cache_told import keys_json
from router.model.plan import Plan
from router.serve.auditing import note_command
from router.serve.mapping import own_key, restore_key
from router.serve.places import Places, is_running
from router.serve.rekeying import progress
from router.store.escrow import FEWEST_CHARACTERS, MOST_BYTES, Escrow, opened, sealed
from router.store.files import make_folder
from router.store.keys import RING_NAME, KeyRing, write_ring
from router.store.records import RecordDamaged

NO_COPY: Final = (
    "it is in no escrow copy: losing it is losing every record. Make one, and keep it apart from "
    "the data: dicom-router keys export FILE"
)


keys = group_of_verbs(
    "keys", "The keys everything held here is sealed under: new, rotate, list, export, import."
)


@keys.command(name="new")
@config_option
@format_option
def new(config: Path | None, form: str) -> int:
    """Make the key ring before the first start, so that it can be exported before it is needed."""
    plan = plan_in_use(config_folder(config))
    places = Places(plan.router.data_dir)
    if (places.keys / RING_NAME).exists():
        raise click.ClickException("there is a key ring already; another key: keys rotate")
    make_folder(places.data_dir)
    ring = KeyRing.open(places.keys, time.time())
    name = ring.ring.keys[ring.ring.primary].name
    note_command(plan, "keys_changed", f"key {name} made")
    return _made(form, name, "the key ring was made")


@keys.command(name="rotate")
@config_option
@format_option
def rotate(config: Path | None, form: str) -> int:
    """Make a new key, which seals from now on; what older keys sealed is wrapped anew.

    A running router takes it within a second and wraps anew by itself; without one do it with
    `cache rekey`. An old key is dropped when nothing needs it any more.
    """
    plan = plan_in_use(config_folder(config))
    places = Places(plan.router.data_dir)
    made = _ring(plan).rotate(time.time())
    note_command(plan, "keys_changed", f"key rotation: key {made.name} is the primary one")
    if is_running(places):
        words = "the running router wraps the rest anew: follow it with keys list"
    else:
        words = "wrap the rest anew with: dicom-router cache rekey"
    return _made(form, made.name, words)


@keys.command(name="list")
@config_option
@format_option
def list_keys(config: Path | None, form: str) -> int:
    """Every key by the beginning of its id, never itself: what it is for, where a copy is."""
    plan = plan_in_use(config_folder(config))
    told = keys_json(_ring(plan).ring, progress(Places(plan.router.data_dir)))
    if form == "json":
        emit_json(told)
        return 0
    rows = [["KEY", "STATE", "MADE", "ESCROW COPY"]]
    rows += [
        [one["key"], one["state"], one["made"] or "-", one["exported"] or "none"]
        for one in told["keys"]
    ]
    click.echo(table(rows))
    for line in _words(told):
        click.echo(line, err=True)
    return 0


@keys.command(name="export")
@config_option
@format_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def export(config: Path | None, form: str, file: Path, passphrase_file: Path | None) -> int:
    """Write an escrow copy of the keys to FILE, which a passphrase opens; never over another file."""
    plan = plan_in_use(config_folder(config))
    places, ring = Places(plan.router.data_dir), _ring(plan)
    passphrase = _passphrase(passphrase_file, confirm=True)
    if len(passphrase) < FEWEST_CHARACTERS:
        raise click.UsageError(f"a passphrase of {FEWEST_CHARACTERS} characters, or more")
    octets = sealed(Escrow(ring.ring, own_key(places)), passphrase)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(octets)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    if opened(file.read_bytes(), passphrase).ring != ring.ring:
        raise click.ClickException(f"{file} does not hold what was written: this is no copy")
    ring.note_export(frozenset(ring.ring.keys), time.time())
    note_command(plan, "keys_changed", f"{len(ring.ring.keys)} keys exported")
    if form == "json":
        emit_json({"file": str(file), "keys": len(ring.ring.keys)})
    else:
        click.echo(f"{len(ring.ring.keys)} keys exported to {file}: keep it apart from the data")
        click.echo("after the next keys rotate it lacks the new key: export again", err=True)
    return 0


@keys.command(name="import")
@config_option
@format_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_keys(config: Path | None, form: str, file: Path, passphrase_file: Path | None) -> int:
    """Take the keys of an escrow copy into the ring; keys that are there stay.

    A ring that is lost or damaged becomes the one of the copy; what was damaged is kept beside it.
    """
    plan = plan_in_use(config_folder(config))
    places = Places(plan.router.data_dir)
    if file.stat().st_size > MOST_BYTES:
        raise click.ClickException(f"{file} is no escrow copy of keys")
    try:
        escrow = opened(file.read_bytes(), _passphrase(passphrase_file, confirm=False))
    except (ValueError, RecordDamaged) as error:
        raise click.ClickException(f"{file}: {error}") from None
    make_folder(places.data_dir)
    added = _taken_in(places, escrow)
    mapping = restore_key(places, escrow.mapping_key)
    note_command(plan, "keys_changed", f"{added} keys imported")
    if form == "json":
        emit_json({"added": added, "mapping_key": mapping})
    else:
        click.echo(f"{added} keys added{' and the mapping key' if mapping else ''}")
    return 0


def _taken_in(places: Places, escrow: Escrow) -> int:
    path = places.keys / RING_NAME
    if path.exists():
        try:
            return KeyRing.open(places.keys).take_in(escrow.ring)
        except StoreDown:
            aside = path.with_name(f"keyring.damaged-{time.time_ns()}")
            path.rename(aside)
            fail_text(f"what was there is kept as {aside}")
    make_folder(places.keys)
    write_ring(places.keys, escrow.ring, replace=False)
    return len(escrow.ring.keys)


def _ring(plan: Plan) -> KeyRing:
    places = Places(plan.router.data_dir)
    if not (places.keys / RING_NAME).exists():
        raise click.ClickException("there is no key ring yet: dicom-router keys new")
    return KeyRing.open(places.keys)


def _made(form: str, name: str, words: str) -> int:
    if form == "json":
        emit_json({"key": name})
    else:
        click.echo(f"key {name}: {words}")
        click.echo(NO_COPY, err=True)
    return 0


def _words(told: dict[str, Any]) -> list[str]:
    """What is to be done, and how far the rest is."""
    words = [f"{one['key']}: {NO_COPY}" for one in told["keys"] if not one["exported"]]
    if told["rekeying"] is not None and any(one["state"] == "old" for one in told["keys"]):
        now = told["rekeying"]
        words.append(
            f"wrapped anew: {now['records']} records and {now['rows']} rows, in "
            f"{now['segments_done']} of {now['segments']} segments"
        )
        words += [f"{name} is kept for: {why}" for name, why in now["kept"].items()]
    return words


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at: give --passphrase-file FILE")
    found: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return found
