"""From a folder to a plan or an exit, and from a plan to its ledger."""

from __future__ import annotations

import os
import re
import sys
import uuid
from pathlib import Path

import click

from router.cli.common import EXIT_FAILED, fail_text
from router.clock import Clock
from router.config.last_good import load_last_good
from router.config.load import Loaded, load
from router.errors import RouterError
from router.model.plan import Plan
from router.morph.context import EXAMPLE_KEY
from router.plugs import all_plugs
from router.serve.mapping import mapping_key
from router.serve.places import Places
from router.serve.stores import open_ledger
from router.store.sqlite_ledger import SqliteLedger

_DATA_DIR = re.compile(r"\bdata_dir:\s*(\"[^\"]+\"|'[^']+'|[^\s,}#]+)")


def load_folder(folder: Path) -> Loaded:
    """The folder, compiled with every plug this installation has."""
    return load(folder, all_plugs())


def load_or_exit(folder: Path) -> Loaded:
    """The folder with its plan; problems go to standard error and end the command (exit 1)."""
    loaded = load_folder(folder)
    if loaded.plan is None:
        click.echo(loaded.render(), err=True)
        sys.exit(EXIT_FAILED)
    return loaded


def plan_or_exit(folder: Path) -> Plan:
    """The folder's plan; ends the command as `load_or_exit` does."""
    plan = load_or_exit(folder).plan
    assert plan is not None
    return plan


def plan_in_use(folder: Path) -> Plan:
    """The folder's plan; where the folder is broken, the one that ran last, which a warning tells.

    For commands that look at a router or act on what it holds: it runs on, too. Ends the command as
    `load_or_exit` does when no plan has run.
    """
    loaded = load_folder(folder)
    if loaded.plan is not None:
        return loaded.plan
    plan = last_plan(folder, loaded)
    if plan is None:
        return plan_or_exit(folder)
    fail_text(
        f"{folder} has errors, as `dicom-router check` tells; what follows is by plan"
        f" {plan.digest[:12]}, which ran last"
    )
    return plan


def last_plan(folder: Path, loaded: Loaded) -> Plan | None:
    """The last plan that ran with the data directory these broken texts still name."""
    texts = (source.text for source in loaded.sources)
    for named in (match for text in texts for match in _DATA_DIR.finditer(text)):
        found = load_last_good(folder / named.group(1).strip("'\""), all_plugs())
        if found is not None and found.plan is not None:
            return found.plan
    return None


def shown_mapping_key(plan: Plan) -> bytes:
    """The key of this installation where it can be read, so that mapped values are the real ones."""
    try:
        return mapping_key(plan, make=False) or EXAMPLE_KEY
    except RouterError:
        return EXAMPLE_KEY


def read_ledger(plan: Plan) -> SqliteLedger:
    """The ledger of a plan, to read. Raises click.ClickException when there is none yet."""
    places = Places(plan.router.data_dir)
    if not places.ledger.exists():
        raise click.ClickException(
            f"there is no ledger in {places.data_dir} yet: start the router with: dicom-router run"
        )
    return open_ledger(places, Clock(), f"cli-{os.getpid()}", read_only=True)


def write_ledger(plan: Plan) -> SqliteLedger:
    """The ledger of a plan, to change; the running router sees the change within a second."""
    places = Places(plan.router.data_dir)
    places.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open_ledger(places, Clock(), f"cli-{uuid.uuid4().hex}")
