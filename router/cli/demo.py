"""`demo`: the whole story in a temporary folder, no configuration, no server, no root."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from router import __version__
from router.cli.common import EXIT_FAILED
from router.demo.story import Story, StoryFailed


@click.command()
@click.option("--once", is_flag=True, help="End when the story is told.")
def demo(*, once: bool) -> int:
    """Watch images travel: a router, three pretend neighbours and one that is down."""
    click.echo(f"dicom-router {__version__}   demo in a temporary folder\n")
    with tempfile.TemporaryDirectory(prefix="dicom-router-demo-") as folder:
        story = Story(Path(folder), click.echo)
        try:
            complete = story.tell()
            if not once:
                story.keep_running()
        except StoryFailed as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            complete = True
        finally:
            story.end()
    return 0 if complete else EXIT_FAILED
