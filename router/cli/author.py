"""`fmt`, `docs`, `graph`: the configuration as its authors read and write it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from router.cli.common import EXIT_FAILED, config_folder, config_option
from router.cli.plan import plan_or_exit
from router.config.compile import digest
from router.config.folder import Source, read_folder
from router.config.graph import dot, edges_of, json_graph, mermaid
from router.config.layout import formatted
from router.config.problems import render_all
from router.config.reference import explain
from router.config.report import Report
from router.config.tree import merge
from router.config.writing import replace_file
from router.plugs import all_plugs


@click.command()
@config_option
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 1 if something would change."
)
def fmt(config: Path | None, *, only_check: bool) -> int:
    """Lay out every file of the configuration: one order of keys, one indentation.

    Comments stay with what they are about. Nothing is written unless the whole folder means exactly
    what it meant before; a folder that cannot be read is left alone (exit 1).
    """
    folder = config_folder(config)
    report = Report()
    sources = read_folder(folder, report)
    before = digest(merge(sources, report))
    unread = any(each.code < "DR1" or each.code > "DR4" for each in report.problems())
    if unread or any(formatted(source.text) is None for source in sources):
        click.echo(
            render_all(report.problems(), {each.shown: each.text for each in sources}), err=True
        )
        return EXIT_FAILED
    changed = [
        Source(source.relative, source.shown, formatted(source.text) or source.text)
        for source in sources
    ]
    if digest(merge(changed, Report())) != before:
        raise click.ClickException("the layout would change the meaning; nothing was written")
    different = [new for old, new in zip(sources, changed, strict=True) if old.text != new.text]
    for source in different:
        if not only_check:
            replace_file(Path(os.path.realpath(folder)) / source.relative, source.text)
        click.echo(f"{'would lay out' if only_check else 'laid out'} {source.shown}")
    click.echo(
        f"{len(sources) - len(different)} files in order, {len(different)} {'not' if only_check else 'changed'}"
    )
    return EXIT_FAILED if only_check and different else 0


@click.command()
@click.argument("key")
def docs(key: str) -> int:
    """Say what a key, an operator, a step or the code of a problem means.

    For example: docs unmatched, docs stations.limits.batch, docs prefix, docs DR310.
    """
    text, is_known = explain(key, all_plugs())
    click.echo(text, err=not is_known)
    return 0 if is_known else EXIT_FAILED


@click.command()
@config_option
@click.option("--format", "form", type=click.Choice(["mermaid", "dot", "json"]), default="mermaid")
def graph(config: Path | None, form: str) -> int:
    """Draw who sends what where: stations, rules, routes (Mermaid, Graphviz or JSON)."""
    plan = plan_or_exit(config_folder(config))
    write = {"mermaid": mermaid, "dot": dot, "json": json_graph}[form]
    click.echo(write(plan, edges_of(plan)))
    return 0
