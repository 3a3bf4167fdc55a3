"""How the router is: health, balance, listeners, certificates, rates."""

from __future__ import annotations

import time
from typing import Any, Final

from router import __version__
from router.clock import iso_time
from router.dimse.certificates import read_certificate
from router.flow.told import account_json
from router.model.plan import Plan
from router.web.api.call import Call, Endpoint, flag, many, maybe, record, text, whole
from router.web.services import Services

_DAY_SECONDS: Final = 86_400
RATES: Final = ("received", "sent")


def status(services: Services, call: Call) -> dict[str, Any]:
    """The router in one document; what its configuration came to only for who sees all of it."""
    plan, running = services.plan, services.running
    is_limited = call.identity.is_limited
    reasons = running.not_ready()
    free, total = running.free_bytes()
    reload = None if is_limited else running.reload()
    return {
        "router": plan.router.name,
        "organization": plan.router.organization,
        "ae_title": plan.router.ae_title,
        "version": __version__,
        "device": services.device,
        "plan": plan.digest,
        "started": iso_time(services.started_at),
        "ready": not reasons,
        "reasons": [] if is_limited else list(reasons),
        "roles": {name: round(age, 1) for name, age in running.roles().items()},
        "reload": None if reload is None else {**reload, "at": iso_time(reload["at"])},
        "deployment": None if is_limited else running.deployment(),
        "storage": {"free_bytes": free, "total_bytes": total, "max_bytes": plan.store.max_bytes},
        "listeners": listeners(plan),
        "certificates": certificates(plan),
    }


def listeners(plan: Plan) -> list[dict[str, Any]]:
    """Where we accept."""
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "bind": f"{one.host}:{one.port}",
            "tls": one.tls,
            "serve": list(one.serve),
            "ae_titles": list(one.ae_titles) if one.kind == "dimse" else [],
        }
        for one in plan.listeners.values()
    ]


def certificates(plan: Plan) -> list[dict[str, Any]]:
    """Our own certificates and when they end."""
    found: list[dict[str, Any]] = []
    for profile in plan.tls.values():
        if profile.cert is None:
            continue
        try:
            one = read_certificate(profile.cert)
        except ValueError as error:
            found.append({"profile": profile.name, "problem": str(error)})
            continue
        found.append(
            {
                "profile": profile.name,
                "subject": one.subject,
                "names": list(one.names),
                "self_signed": one.is_self_signed,
                "not_after": iso_time(one.not_after),
                "days_left": int((one.not_after - time.time()) // _DAY_SECONDS),
                "fingerprint": one.fingerprint,
            }
        )
    return found


def account(services: Services, _call: Call) -> dict[str, Any]:
    """The balance."""
    return account_json(services.ledger.account())


def rates(services: Services, _call: Call) -> dict[str, Any]:
    """Instances a second in each minute of the last hour, the latest last."""
    return {name: services.rates.per_second(name) for name in RATES}


_STATUS: Final = record(
    {
        "router": text("Its name."),
        "organization": text("The organization it belongs to."),
        "ae_title": text("What peers call it."),
        "version": text("The program's version."),
        "device": record({}, open_ended=True),
        "plan": text("Digest of the configuration that runs."),
        "started": text("Since when it serves these pages with this configuration."),
        "ready": flag("Whether everything that must run runs."),
        "reasons": many(text("Why it is not ready.")),
        "roles": record({}, open_ended=True),
        "reload": maybe(record({}, open_ended=True)),
        "deployment": maybe(record({}, open_ended=True)),
        "storage": record(
            {
                "free_bytes": whole("Free on the volume."),
                "total_bytes": whole("Size of the volume."),
                "max_bytes": maybe(whole("Bound of the journal.")),
            }
        ),
        "listeners": many(record({}, open_ended=True)),
        "certificates": many(record({}, open_ended=True)),
    }
)
_COUNTS: Final = {
    name: whole(name)
    for name in (
        "received", "delivered", "queued", "sending", "sent", "held", "dead", "unmatched", "discarded",
        "quarantined",
    )
}  # fmt: skip
_ACCOUNT: Final = record(
    {
        **_COUNTS,
        "balanced": flag("Every accepted instance is in exactly one place."),
        "differences": many(text("What does not add up.")),
        "instances": record({}, open_ended=True),
        "deliveries": record({}, open_ended=True),
        "stations": record({}, open_ended=True),
    }
)
_NUMBERS: Final = many({"type": "number"})
ENDPOINTS: Final = (
    Endpoint("GET", "/status", "read", "How the router is.", status, _STATUS, within=True),
    Endpoint("GET", "/account", "read", "The balance.", account, _ACCOUNT),
    Endpoint(
        "GET", "/rates", "read", "Instances a second, by minute, for the last hour.", rates,
        record(dict.fromkeys(RATES, _NUMBERS)),
    ),
)  # fmt: skip
