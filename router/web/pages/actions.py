"""What can be done on pages: each calls one endpoint of the API and says what came of it."""

from __future__ import annotations

import json
from typing import Any

from router.web.api.call import Call, Reply, Wrong
from router.web.pages.form import Form
from router.web.pages.page import Kind, Notice
from router.web.pages.views import asked, exactly_one
from router.web.services import Services


def probe(services: Services, call: Call, _form: Form) -> Notice:
    """Ask for a sign of life."""
    data = asked(services, call, "POST", "/stations/{name}/test").data
    values = {"station": data["station"], "milliseconds": round(data["seconds"] * 1000)}
    kind: Kind = "good" if data["ok"] else "bad"
    key = "notice.answered" if data["ok"] else "notice.silent"
    return Notice(kind, key, values, data["message"])


def enable(services: Services, call: Call, form: Form) -> Notice:
    """Speak with it again."""
    return _switched(services, call, form, "/stations/{name}/enable")


def disable(services: Services, call: Call, form: Form) -> Notice:
    """Speak with it no more."""
    return _switched(services, call, form, "/stations/{name}/disable")


def _switched(services: Services, call: Call, form: Form, path: str) -> Notice:
    reply = asked(services, call, "POST", path, if_match=form.text("etag"))
    return _changed(reply.data)


def _changed(data: dict[str, Any]) -> Notice:
    """What came of a change of the configuration."""
    state = data["state"]
    if state in {"applied", "unchanged", "pending"}:
        kind: Kind = "info" if state == "pending" else "good"
        return Notice(kind, f"notice.{state}", detail=_told(data["changes"]))
    return Notice("bad", f"notice.{state}", detail=data["patch"] or data["problems"])


def _told(changes: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for one in changes:
        if "station" in one:
            keys = (
                f"{key}: {json.dumps(pair['before'])} → {json.dumps(pair['after'])}"
                for key, pair in one["keys"].items()
            )
            lines += [f"{'+' if one['is_new'] else '~'} {one['station']}", *keys]
        else:
            lines.append(f"{one['kind']} {one['path']}: {one['before']} → {one['after']}")
    return "\n".join(lines)


def import_stations(services: Services, call: Call, form: Form) -> Notice:
    """Show what a file would change, or write it."""
    content = form.files.get("file", b"") or form.text("document").encode()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Wrong(422, "the file is no JSON") from None
    query = {"write": form.text("write") == "yes"}
    reply = asked(services, call, "POST", "/stations/import", body=document, query=query)
    return _changed(reply.data)


def retry(services: Services, call: Call, form: Form) -> Notice:
    """Queue what failed of the chosen tasks again."""
    return _each(services, call, form, "/tasks/{id}/retry", "notice.retried")


def cancel(services: Services, call: Call, form: Form) -> Notice:
    """Cancel what waits of the chosen tasks."""
    return _each(services, call, form, "/tasks/{id}/cancel", "notice.cancelled")


def hold(services: Services, call: Call, form: Form) -> Notice:
    """Send nothing more of the chosen tasks until they are resumed."""
    return _each(services, call, form, "/tasks/{id}/hold", "notice.held")


def resume(services: Services, call: Call, form: Form) -> Notice:
    """Let the chosen tasks go on."""
    return _each(services, call, form, "/tasks/{id}/resume", "notice.resumed")


def hurry(services: Services, call: Call, form: Form) -> Notice:
    """Put what waits of the chosen tasks before the others."""
    body = {"priority": "high"}
    return _each(services, call, form, "/tasks/{id}/priority", "notice.hurried", body)


def _each(
    services: Services,
    call: Call,
    form: Form,
    path: str,
    key: str,
    body: dict[str, Any] | None = None,
) -> Notice:
    numbers = form.all("task") or ((call.path["id"],) if "id" in call.path else ())
    if not numbers:
        raise Wrong(422, "choose a task")
    deliveries, refused = 0, []
    for number in numbers:
        try:
            reply = asked(services, call, "POST", path, path={"id": number}, body=body)
            deliveries += reply.data["deliveries"]
        except Wrong as wrong:
            refused.append(str(wrong))
    kind: Kind = "good" if deliveries and not refused else "bad" if not deliveries else "info"
    return Notice(kind, key, {"deliveries": deliveries}, "\n".join(refused))


def send(services: Services, call: Call, form: Form) -> Notice:
    """Queue a study for exactly one station."""
    body = {
        "study": call.path["uid"],
        "organization": exactly_one(form, "organization", "nothing was queued"),
        "station": exactly_one(form, "station", "nothing was queued"),
        "priority": form.text("priority") or "medium",
        "anonymize": form.text("anonymize") == "yes",
    }
    data = asked(services, call, "POST", "/tasks", body=body).data
    reasons = "\n".join(f"{one['instance']}: {one['reason']}" for one in data["failed"])
    link = f"/tasks/{data['tasks'][0]}" if data["tasks"] else ""
    kind: Kind = "bad" if reasons else "good"
    values = {"instances": data["queued"], "station": body["station"]}
    return Notice(kind, "notice.queued", values, reasons, link=link)


def retrieve(services: Services, call: Call, form: Form) -> Notice:
    """Have a station send the chosen studies here."""
    studies = list(form.all("study"))
    body = {"station": form.text("station"), "studies": studies}
    asked(services, call, "POST", "/retrievals", body=body)
    return Notice("good", "notice.retrieving", {"studies": len(studies)}, link="/query")


def reject(services: Services, call: Call, form: Form) -> Notice:
    """Reject the study for good."""
    body = {"as": form.text("as")}
    data = asked(services, call, "POST", "/studies/{uid}/reject", body=body).data
    return Notice("good", "notice.rejected", {"objects": data["objects"]}, link="/tasks")


def fetch_priors(services: Services, call: Call, _form: Form) -> Notice:
    """Have the earlier studies of the patient fetched."""
    body = {"study": call.path["uid"]}
    data = asked(services, call, "POST", "/priors", body=body).data
    return Notice("good", "notice.priors", {"rules": data["asked"]}, link="/query")


def apply(services: Services, call: Call, _form: Form) -> Notice:
    """Take what is written into use."""
    data = asked(services, call, "POST", "/configuration/apply").data
    kind: Kind = "bad" if data["state"] == "refused" else "good"
    return Notice(kind, f"notice.{data['state']}", detail=data["problems"])


def fetch(services: Services, call: Call, _form: Form) -> Notice:
    """Look at the branch that is followed, now."""
    return _deployed(asked(services, call, "POST", "/deployment/fetch").data)


def deploy(services: Services, call: Call, form: Form) -> Notice:
    """Put a revision into use."""
    revision = form.text("revision").strip()
    if not revision:
        raise Wrong(422, "name a revision")
    body = {"revision": revision[:200]}
    return _deployed(asked(services, call, "POST", "/deployment/deploy", body=body).data)


def roll_back(services: Services, call: Call, _form: Form) -> Notice:
    """Go back one release."""
    return _deployed(asked(services, call, "POST", "/deployment/rollback").data)


def _deployed(data: dict[str, Any]) -> Notice:
    bad = data["state"] in {"refused", "failed"}
    kind: Kind = "bad" if bad else "info" if data["state"] == "under_way" else "good"
    detail = "\n".join(filter(None, (data["message"], data["problems"])))
    return Notice(kind, f"notice.deploy.{data['state']}", {"commit": data["commit"][:12]}, detail)


def check_file(services: Services, call: Call, form: Form) -> Notice:
    """Say what a changed text would come to."""
    return _changed(_put(services, call, form, dry_run=True).data)


def save_file(services: Services, call: Call, form: Form) -> Notice:
    """Write a changed text and take it into use."""
    return _changed(_put(services, call, form, dry_run=False).data)


def _put(services: Services, call: Call, form: Form, *, dry_run: bool) -> Reply:
    text = form.texts.get("text", ("",))[0].replace("\r\n", "\n")
    return asked(
        services, call, "PUT", "/configuration/files/{path}", body={"text": text},
        if_match=form.text("etag"), query={"dry_run": dry_run},
    )  # fmt: skip


def prefetch(services: Services, call: Call, form: Form) -> Notice:
    """Have the chosen studies of a station here before somebody asks for them."""
    station = form.text("station")
    items = [{"station": station, "study": study} for study in form.all("study")]
    data = asked(services, call, "POST", "/cache/prefetches", body={"items": items}).data
    values = {"number": data["prefetch"], "studies": len(items)}
    return Notice("good", "notice.prefetching", values, link="/system")


def cancel_prefetch(services: Services, call: Call, form: Form) -> Notice:
    """Fetch nothing more of one list."""
    path = {"id": form.text("prefetch")}
    data = asked(services, call, "POST", "/cache/prefetches/{id}/cancel", path=path).data
    return Notice("good", "notice.prefetch_cancelled", {"number": data["prefetch"]})


def rotate(services: Services, call: Call, _form: Form) -> Notice:
    """Make a new key."""
    data = asked(services, call, "POST", "/keys/rotate").data
    return Notice("info", "notice.rotated", {"which": data["keys"][0]["key"]})


def verify(services: Services, call: Call, _form: Form) -> Notice:
    """Read all of a study, and say what does not open."""
    data = asked(
        services, call, "POST", "/cache/verify", body={"study": call.path["uid"]}
    ).data  # fmt: skip
    values = {"records": data["records"], "damaged": data["damaged"]}
    detail = "\n".join(
        f"{one['sop_instance_uid']}: {one['reason']}" for one in data["records_that_do_not_open"]
    )
    return Notice("bad" if data["damaged"] else "good", "notice.verified", values, detail)


def evict(services: Services, call: Call, _form: Form) -> Notice:
    """Let go of what nothing needs of a study."""
    data = asked(services, call, "POST", "/cache/evict", body={"study": call.path["uid"]}).data
    values = {"instances": data["instances"], "needed": data["needed"]}
    return Notice("info" if data["needed"] else "good", "notice.evicted", values)


def shred(services: Services, call: Call, form: Form) -> Notice:
    """Make a study unreadable for good; only when that is said twice."""
    if form.text("sure") != "yes":
        raise Wrong(422, "tick the box first: what is shredded is gone for good")
    data = asked(services, call, "POST", "/cache/shred", body={"study": call.path["uid"]}).data
    return Notice("good", "notice.shredded", {"records": data["shredded"]})


def verify_all(services: Services, call: Call, _form: Form) -> Notice:
    """Have all that is held read to its end."""
    data = asked(services, call, "POST", "/cache/verifications", body={}).data
    return Notice("good", "notice.verifying", {"number": data["verification"]})


def cancel_verification(services: Services, call: Call, form: Form) -> Notice:
    """Read no more of one."""
    path = {"id": form.text("verification")}
    data = asked(services, call, "POST", "/cache/verifications/{id}/cancel", path=path).data
    return Notice("good", "notice.verifying_cancelled", {"number": data["verification"]})
