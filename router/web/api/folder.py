"""Changing the configuration folder: compile first, write whole files, have them taken into use.

What would not be sound is never written. Where the folder is a release, the change comes back as a
patch for the repository it came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router.config.exchange import Wanted
from router.config.folder import Source, read_folder
from router.config.load import Loaded, load, load_texts
from router.config.report import Report
from router.config.station_changes import StationChange, change_stations
from router.config.writing import is_release, patch, write_texts
from router.plugs import all_plugs
from router.web.api.call import Wrong
from router.web.api.dispatch import etag_of
from router.web.problems import problems_json
from router.web.services import Services
from router.web.tags import has_match


def loaded(services: Services) -> Loaded:
    """The folder as it is now."""
    return load(services.folder, all_plugs())


def folder_etag(sources: Sequence[Source]) -> str:
    """The entity tag of the whole configuration."""
    return etag_of(json.dumps([(one.relative, one.text) for one in sources]).encode())


def check_match(given: str, etag: str) -> None:
    """Raises Wrong 412 where somebody else was faster."""
    if given and not has_match(given, etag, is_strong=True):
        raise Wrong(412, "it was changed since you saw it: look again, then change")


def change(
    services: Services, wanted: Sequence[Wanted], if_match: str, *, write: bool
) -> dict[str, Any]:
    """Change stations as wished, or only say what would change."""
    before = loaded(services)
    check_match(if_match, folder_etag(before.sources))
    if before.plan is None:
        raise unsound(before)
    changed = change_stations(before, services.folder, all_plugs(), wanted)
    if changed.loaded.plan is None:
        raise unsound(changed.loaded)
    outcome: dict[str, Any] = {"state": "unchanged", "problems": "", "patch": ""}
    if changed.texts and not write:
        outcome["state"] = "pending"
    elif changed.texts:
        outcome = put(services, before, changed.texts)
    return {**outcome, "changes": [_change(one) for one in changed.changes]}


def _change(one: StationChange) -> dict[str, Any]:
    keys = {key: {"before": old, "after": new} for key, (old, new) in one.keys.items()}
    return {"station": one.station, "is_new": one.is_new, "keys": keys}


def with_text(services: Services, before: Loaded, path: str, content: str) -> Loaded:
    """The folder with another text in one of its files. Raises Wrong 422 with every problem."""
    texts = {one.relative: one.text for one in before.sources} | {path: content}
    after = load_texts(texts, services.folder, all_plugs())
    if after.plan is None:
        raise unsound(after)
    return after


def put(services: Services, before: Loaded, texts: Mapping[str, str]) -> dict[str, Any]:
    """Write the files and have the running router take them; what came of it."""
    folder: Path = services.folder
    if is_release(folder):
        difference = patch({one.relative: one.text for one in before.sources}, texts)
        return {"state": "patch", "problems": "", "patch": difference}
    if read_folder(folder, Report()) != before.sources:
        raise Wrong(412, "somebody changed the folder meanwhile: nothing was written")
    try:
        write_texts(folder, texts)
    except OSError as error:
        raise Wrong(409, f"the folder cannot be written: {error.strerror}") from error
    told = services.running.apply()
    if told is None:
        return {"state": "written", "problems": "no answer yet: see status", "patch": ""}
    state = "applied" if told["state"] == "unchanged" else told["state"]
    return {"state": state, "problems": told["problems"], "patch": ""}


def unsound(found: Loaded) -> Wrong:
    """The refusal of a configuration that is not sound, with the place of each problem."""
    problems = problems_json(found.problems)
    detail = f"the configuration is not sound: {len(found.errors)} errors; nothing was changed"
    return Wrong(422, detail, problems=problems)
