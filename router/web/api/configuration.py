"""The configuration: files, problems, what differs from what runs; changing, applying."""

from __future__ import annotations

from typing import Any, Final

from router.clock import iso_time
from router.config.diff import compare
from router.config.folder import Source
from router.config.last_good import load_last_good
from router.config.load import Loaded
from router.config.writing import is_release
from router.plugs import all_plugs
from router.web.api.call import (
    Body,
    Call,
    Endpoint,
    Parameter,
    Reply,
    Wrong,
    flag,
    many,
    maybe,
    record,
    text,
)
from router.web.api.dispatch import etag_of
from router.web.api.folder import check_match, folder_etag, loaded, put, with_text
from router.web.problems import problems_json
from router.web.services import Services

_FILE_BYTES: Final = 4 * 1024 * 1024


def show(services: Services, _call: Call) -> Reply:
    """Files, problems, whether what is written is what runs, how the last change went."""
    found = loaded(services)
    reload = services.running.reload()
    data = {
        "folder": str(services.folder),
        "is_release": is_release(services.folder),
        "running": services.plan.digest,
        "written": found.plan.digest if found.plan else None,
        "in_sync": found.plan is not None and found.plan.digest == services.plan.digest,
        "files": [
            {"path": one.relative, "bytes": len(one.text.encode()), "etag": _etag(one)}
            for one in found.sources
        ],
        "problems": problems_json(found.problems),
        "reload": None if reload is None else {**reload, "at": iso_time(reload["at"])},
    }
    return Reply(data, etag=folder_etag(found.sources))


def changes(services: Services, _call: Call) -> dict[str, Any]:
    """What differs between what is written and what runs, in the words of the files."""
    found = loaded(services)
    if found.plan is None:
        problems = problems_json(found.problems)
        raise Wrong(422, "what is written is not sound: nothing to compare", problems=problems)
    running = load_last_good(services.plan.router.data_dir, all_plugs())
    return {"changes": _changes(running, found)}


def _changes(running: Loaded | None, written: Loaded) -> list[dict[str, Any]]:
    return [
        {"kind": one.kind, "path": one.path, "before": one.before, "after": one.after}
        for one in compare(running.sources if running else (), written.sources)
    ]


def apply(services: Services, _call: Call) -> dict[str, Any]:
    """Have the running router take what is written."""
    told = services.running.apply()
    if told is None:
        raise Wrong(503, "no answer yet: see status for what runs")
    return {"state": told["state"], "plan": told["digest"], "problems": told["problems"]}


def show_file(services: Services, call: Call) -> Reply:
    """The text of one file."""
    source = _source(loaded(services), call.path["path"])
    return Reply({"path": source.relative, "text": source.text}, etag=_etag(source))


def put_file(services: Services, call: Call) -> dict[str, Any]:
    """Another text for one file: checked as a whole, written, taken into use."""
    before = loaded(services)
    source = _source(before, call.path["path"])
    check_match(call.if_match, _etag(source))
    content = call.body["text"]
    after = with_text(services, before, source.relative, content)
    problems = problems_json(after.problems)
    told = {"changes": _changes(before, after), "warnings": problems}
    if call.query["dry_run"] or content == source.text:
        state = "unchanged" if content == source.text else "pending"
        return {"state": state, "problems": "", "patch": "", **told}
    return {**put(services, before, {source.relative: content}), **told}


def _source(found: Loaded, path: str) -> Source:
    for one in found.sources:
        if one.relative == path:
            return one
    raise Wrong(404, f"there is no file {path} in the configuration")


def _etag(source: Source) -> str:
    return etag_of(source.text.encode("utf-8", "surrogatepass"))


_DRY: Final = Parameter(
    "dry_run", {"type": "boolean", "default": False}, "Only check, and say what would change."
)
_FILE: Final = record({"path": text("Below the folder."), "text": text("All of it.")})
_OBJECTS: Final = many(record({}, open_ended=True))
_PUT: Final = record(
    {
        "state": text("unchanged, pending, applied, written, refused or patch."),
        "problems": text("Why the running router refuses it."),
        "patch": text("The change, where the folder is a release."),
        "changes": _OBJECTS,
        "warnings": _OBJECTS,
    }
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/configuration", "read", "Files, problems, and whether that is what runs.", show,
        record({
            "folder": text("Where it lies."),
            "is_release": flag("It is not to be written into."),
            "running": text("Digest of the plan that runs."),
            "written": maybe(text("Digest of what is written; null when it is not sound.")),
            "in_sync": flag("What is written runs."),
            "files": _OBJECTS,
            "problems": _OBJECTS,
            "reload": maybe(record({}, open_ended=True)),
        }),
    ),
    Endpoint("GET", "/configuration/changes", "read", "What is written against what runs.",
             changes, record({"changes": _OBJECTS})),
    Endpoint("POST", "/configuration/apply", "configure", "Take what is written into use.", apply,
             record({"state": text("applied, unchanged or refused."), "plan": text("What runs."),
                     "problems": text("Why it is refused.")}), acts=True),
    Endpoint("GET", "/configuration/files/{path}", "read", "One file.", show_file, _FILE),
    Endpoint("PUT", "/configuration/files/{path}", "configure", "Change one file.", put_file, _PUT,
             parameters=(_DRY,), needs_match=True,
             body=Body("The whole text.", schema=record({"text": text("All of it.")}),
                       most_bytes=_FILE_BYTES)),
)  # fmt: skip
