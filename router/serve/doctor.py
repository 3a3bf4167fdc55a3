"""`doctor`: everything around the router that keeps it from working well, with what to do about it.

Looks and changes nothing. It works whether or not the router runs, best as the router's user: what
that user cannot read, the router cannot either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from router.model.plan import Plan
from router.serve.device import DOMAIN
from router.serve.examine_machine import examine_machine, this_machine
from router.serve.examine_network import (
    examine_cache_host,
    examine_clock,
    examine_names,
    examine_ports,
)
from router.serve.examine_secrets import examine_callers, examine_certificates, examine_keys
from router.serve.findings import Finding, warning
from router.serve.places import Places, is_running


def examine(plan: Plan, domain: str = DOMAIN) -> tuple[Finding, ...]:
    """Every finding: the machine, the network, what must stay secret."""
    return (
        *examine_machine(plan, this_machine()),
        *examine_clock(plan),
        *examine_names(plan),
        *_ports(plan),
        *examine_cache_host(plan, domain),
        *examine_certificates(plan),
        *examine_keys(plan, os.environ),
        *examine_callers(plan),
    )


def _ports(plan: Plan) -> Iterator[Finding]:
    try:
        runs = is_running(Places(plan.router.data_dir))
    except PermissionError:
        yield warning(
            "listeners", "not looked at: whether the router runs is not for this user to know",
            "run this as the router's user",
        )  # fmt: skip
        return
    yield from examine_ports(plan, is_running=runs)
