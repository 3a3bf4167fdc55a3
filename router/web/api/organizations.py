"""Organizations, for whoever types the beginning of a name."""

from __future__ import annotations

from typing import Any, Final

from router.config.suggest import did_you_mean
from router.model.organization import below
from router.model.plan import Plan
from router.web.access import Identity
from router.web.api.call import (
    LIMIT,
    Call,
    Endpoint,
    Parameter,
    Wrong,
    many,
    maybe,
    record,
    text,
    whole,
)
from router.web.services import Services


def organizations_of(plan: Plan, identity: Identity) -> list[str]:
    """The names of the organizations they may see, in the order of the alphabet."""
    found = identity.organizations if identity.is_limited else plan.organizations
    return sorted(below(plan.organizations, found), key=lambda name: (name.casefold(), name))


def of_organization(services: Services, call: Call, name: str) -> str:
    """An organization by its name, of those they may see. Raises Wrong 422 with a hint."""
    known = organizations_of(services.plan, call.identity)
    if name not in known:
        hint = did_you_mean(name, known)
        raise Wrong(422, f"organization: there is no {name!r}" + (f"; {hint}" if hint else ""))
    return name


def list_organizations(services: Services, call: Call) -> dict[str, Any]:
    """Those whose name begins so, in either case; always in the same order, at most `limit`."""
    plan, prefix = services.plan, (call.query["prefix"] or "").casefold()
    names = organizations_of(plan, call.identity)
    found = [name for name in names if name.casefold().startswith(prefix)]
    counts: dict[str, int] = {}
    for station in plan.stations.values():
        counts[station.organization] = counts.get(station.organization, 0) + 1
    told = []
    for name in found[: call.query["limit"]]:
        one = plan.organizations[name]
        told.append(
            {
                "name": name,
                "description": one.description,
                "parent": one.parent if one.parent in names else None,
                "stations": counts.get(name, 0),
            }
        )
    return {"organizations": told, "beyond": max(0, len(found) - len(told))}


_PREFIX: Final = Parameter("prefix", {"type": "string"}, "Only those whose name begins so.")
_ORGANIZATION: Final = record(
    {
        "name": text("Its name."),
        "description": text("For people."),
        "parent": maybe(text("The organization it belongs to.")),
        "stations": whole("How many stations it has itself."),
    }
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/organizations", "read", "Organizations by the beginning of their names.",
        list_organizations,
        record({"organizations": many(_ORGANIZATION), "beyond": whole("How many more there are.")}),
        parameters=(_PREFIX, LIMIT), within=True,
    ),
)  # fmt: skip
