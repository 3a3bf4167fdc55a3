"""The command `dicom-router`: its verbs, loaded one at a time, and its exit codes.

0 fine, 1 problems found or failed, 2 something is pending, 64 wrong usage.
"""

from __future__ import annotations

import gc
import importlib
import sys

import click

from router import __version__
from router.cli.common import EXIT_FAILED, EXIT_USAGE, fail_text
from router.errors import RouterError

VERBS = {
    "account": "router.cli.watch:account",
    "apply": "router.cli.apply:apply",
    "audit": "router.cli.audit:audit",
    "cache": "router.cli.cache:cache",
    "cert": "router.cli.cert:cert",
    "check": "router.cli.configuration:check",
    "demo": "router.cli.demo:demo",
    "deploy": "router.cli.deploy:deploy",
    "docs": "router.cli.author:docs",
    "doctor": "router.cli.doctor:doctor",
    "echo": "router.cli.dicom:echo",
    "explain": "router.cli.explain:explain",
    "find": "router.cli.find:find",
    "fmt": "router.cli.author:fmt",
    "graph": "router.cli.author:graph",
    "init": "router.cli.configuration:init",
    "keys": "router.cli.keys:keys",
    "plan": "router.cli.change:plan",
    "priors": "router.cli.priors:priors",
    "reject": "router.cli.reject:reject",
    "retrieve": "router.cli.retrieve:retrieve",
    "run": "router.cli.run:run",
    "schema": "router.cli.configuration:schema",
    "send": "router.cli.dicom:send",
    "service": "router.cli.service:service",
    "stations": "router.cli.stations:stations",
    "status": "router.cli.watch:status",
    "support-bundle": "router.cli.support:support_bundle",
    "tap": "router.cli.tap:tap",
    "tasks": "router.cli.tasks:tasks",
    "test": "router.cli.rule_tests:test",
    "token": "router.cli.token:token",
    "top": "router.cli.top:top",
}
SUMMARIES = {
    "account": "The balance: every accepted instance, and where it is.",
    "apply": "Have the running router take the configuration as it is now.",
    "audit": "Who did what: list, show; verify that it is whole; export.",
    "cache": "What is held: its state, verify, evict, rekey, prefetch; the name viewers look for.",
    "cert": "Certificates: make a self-signed one, show those in use and when they end.",
    "check": "Name every problem of a configuration folder.",
    "deploy": "Put a git revision into use, tell which is, or go back one.",
    "docs": "Say what a key of the configuration, or the code of a problem, means.",
    "demo": "Watch images travel: a router, three pretend neighbours, nothing to set up.",
    "doctor": "Look at the machine, its network and its secrets; say what to mend.",
    "echo": "Ask a station for a sign of life, now.",
    "explain": "Say what the rules would do with a DICOM file, and why.",
    "find": "Search a station: its studies, series or images.",
    "fmt": "Lay out the files of a configuration; never another meaning.",
    "graph": "Draw who sends what where.",
    "init": "Write a small, working configuration into a folder.",
    "keys": "The keys everything held is sealed under: new, rotate, list, export, import.",
    "plan": "Say what would change if the folder were taken into use now.",
    "priors": "Earlier studies that rules have fetched: list, fetch.",
    "reject": "Reject a study held here, or a part of it, and tell the stations that want to know.",
    "retrieve": "Have a study of a station here; the rules route it.",
    "run": "Run the router.",
    "schema": "Print the JSON Schema of the configuration, for editors.",
    "send": "Queue files, or a study held here, for one station.",
    "service": "The router as a service of systemd: install, remove.",
    "stations": "Stations: list, show, test, enable, disable; export and import as JSON.",
    "status": "How the router and its stations are.",
    "support-bundle": "One archive for whoever helps, without patients and secrets.",
    "tap": "Watch what passes, a line for each instance, delivery and association.",
    "tasks": "What is being sent: list, show, follow; retry, cancel, hold, resume, priority.",
    "test": "Run the tests beside the rules: JUnit, coverage, mutation.",
    "token": "Tokens for pages and API: make, list, revoke.",
    "top": "Watch roles, rates, stations and the latest failures.",
}


class _Verbs(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in order of the alphabet."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        where = VERBS.get(cmd_name)
        if where is None:
            return None
        module, name = where.split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        gc.freeze()
        gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing one of them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dicom-router")
def main() -> None:
    """A DICOM router that is described, not programmed."""


def entry() -> None:
    """Run the command line and exit with the product's codes."""
    # Seven hundred modules are loaded and kept: walking them again and again finds no garbage.
    gc.disable()
    try:
        code = main.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_FAILED)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)
    except RouterError as error:
        fail_text(str(error))
        sys.exit(EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)
