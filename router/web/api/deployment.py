"""The deployment: what of which branch is in use, what was refused; deploy, go back, fetch now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.web.api.call import Body, Call, Endpoint, Reply, Wrong, maybe, record, text
from router.web.services import Services


def show(services: Services, _call: Call) -> dict[str, Any]:
    """What is in use, and how it stands with the branch that is followed."""
    return {"deployment": services.running.deployment()}


def fetch(services: Services, call: Call) -> Reply:
    """Look at the branch now."""
    return _asked(services, {"what": "fetch", "by": call.identity.name})


def deploy(services: Services, call: Call) -> Reply:
    """Put a revision of the branch into use."""
    wish = {"what": "deploy", "revision": call.body["revision"], "by": call.identity.name}
    return _asked(services, wish)


def roll_back(services: Services, call: Call) -> Reply:
    """Put the release before this one into use again."""
    return _asked(services, {"what": "rollback", "by": call.identity.name})


def _asked(services: Services, wish: Mapping[str, str]) -> Reply:
    if services.running.deployment() is None:
        raise Wrong(409, "the configuration is no release: deploy one by command first")
    told = services.running.deploy(wish)
    if told is None:
        under_way = {"message": "it goes on: see deployment for what comes of it", "commit": ""}
        return Reply({"state": "under_way", "why": "", "problems": "", **under_way}, 202)
    return Reply(dict(told))


_OUTCOME: Final = record(
    {
        "state": text("applied, unchanged, stopped, refused, failed or under_way."),
        "message": text("What came of it, as people read it."),
        "commit": text("The commit it is about."),
        "why": text("The step that refused: signature, files, check, tests, followed, router…"),
        "problems": text("Problems of the files, with their places."),
    }
)
_DEPLOYMENT: Final = record({"deployment": maybe(record({}, open_ended=True))})
_REVISION: Final = Body(
    "The revision.",
    schema=record({"revision": text("A commit or a branch.", minLength=1, maxLength=200)}),
)
ENDPOINTS: Final = (
    Endpoint("GET", "/deployment", "read", "What is in use of which branch; what was refused.",
             show, _DEPLOYMENT),
    Endpoint("POST", "/deployment/fetch", "configure", "Look at the branch now.", fetch, _OUTCOME,
             acts=True),
    Endpoint("POST", "/deployment/deploy", "configure", "Put a revision into use.", deploy,
             _OUTCOME, body=_REVISION, acts=True),
    Endpoint("POST", "/deployment/rollback", "configure", "Go back one release.", roll_back,
             _OUTCOME, acts=True),
)  # fmt: skip
