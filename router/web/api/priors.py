"""Earlier studies that rules have fetched: the list, and asking anew."""

from __future__ import annotations

from typing import Any, Final

from router.flow.told import fetches_of, prior_json
from router.web.api.call import LIMIT, Body, Call, Endpoint, Reply, Wrong, many, record, text, whole
from router.web.services import Services


def list_priors(services: Services, call: Call) -> dict[str, Any]:
    """The studies that asked for earlier ones, the latest first."""
    return {"priors": [prior_json(one) for one in services.ledger.priors(call.query["limit"])]}


def fetch(services: Services, call: Call) -> Reply:
    """Have them fetched now, or once more."""
    known, rule = fetches_of(services.plan), call.body.get("rule")
    if rule is not None and rule not in known:
        raise Wrong(422, f"rule: no enabled rule {rule!r} has fetch_priors")
    study = call.body["study"]
    asked = services.ledger.ask_priors(study, [rule] if rule else list(known), is_named=bool(rule))
    if not asked:
        raise Wrong(409, "nothing of it is held here, or no rule with fetch_priors matched it")
    return Reply({"study": study, "asked": asked}, status=202)


PRIOR: Final = record(
    {"study_instance_uid": text("Which came."), "state": text("waiting, fetched or failed.")},
    open_ended=True,
)
_FETCH: Final = record(
    {
        "study": text("Which is held here."),
        "rule": text("As this one says; else those that matched."),
    },
    optional=("rule",),
)
ENDPOINTS: Final = (
    Endpoint("GET", "/priors", "read", "Whose earlier studies rules have fetched.", list_priors,
             record({"priors": many(PRIOR)}), parameters=(LIMIT,)),
    Endpoint("POST", "/priors", "operate", "Fetch the earlier studies of a patient.", fetch,
             record({"study": text("Which."), "asked": whole("By how many rules.")}),
             body=Body("For which study.", schema=_FETCH), acts=True),
)  # fmt: skip
