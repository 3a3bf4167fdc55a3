"""Changes that are made twice to one delivery, and identified data that leaves the house.

DR323: a step stands twice in what a delivery gets (in the rule and in the route, say), and doing it
twice is not doing it once: `prefix` gives HSPA-HSPA-. DR324: a station outside gets who the patient
is: no `deidentify` among the steps, and the engine's own result still holds name, ID or birth date.
"""

from __future__ import annotations

import json
from typing import Any, Final

from router.analysis.example import Specimen
from router.analysis.study import Study
from router.dicom.tags import parse_path
from router.errors import MorphFailed
from router.model.recipe import Recipe
from router.model.rule import Rule, Send

_IDENTITY: Final = {
    "PatientName": "DOE^JANE",
    "PatientID": "12345678",
    "PatientBirthDate": "19700131",
}
_SAMPLE: Final = "A1"


def advise(study: Study) -> None:
    """Report them."""
    outside = {name for name, station in study.plan.stations.items() if station.external}
    done: set[tuple[str, str]] = set()
    for rule in study.rules:
        for send in (one for each in rule.sends for one in each.alternatives):
            if not send.recipe.is_empty and (rule.name, send.recipe.digest) not in done:
                done.add((rule.name, send.recipe.digest))
                _twice(study, rule, send)
            if send.station in outside and _identified(study, rule, send):
                outside.discard(send.station)


def _twice(study: Study, rule: Rule, send: Send) -> None:
    seen: set[str] = set()
    for name, parameters in send.recipe.unpacked():
        key = json.dumps([name, parameters], sort_keys=True)
        if key not in seen:
            seen.add(key)
            continue
        step = Recipe.of([(name, parameters)])
        paths = sorted(study.morphs[name].writes(parameters), key=lambda path: path.text)
        more = {path.text: _SAMPLE for path in paths if path.is_plain}
        found = study.confirmed(study.solver.form(rule), {rule.name}, more=more)
        if found is None:
            continue
        once = study.laboratory.changed(found[0], step)
        twice = None if once is None else study.laboratory.changed(once, step)
        if once is None or twice is None or once.data_set == twice.data_set:
            continue
        values = [study.laboratory.values(each, paths) for each in (found[0], once, twice)]
        grown = next((path for path in values[2] if values[1].get(path) != values[2][path]), "")
        note = f"{grown} " + " → ".join(each.get(grown, "absent") for each in values)
        message = (
            f"rule '{rule.name}' does '{name}: {_flow(parameters)}' twice for '{send.station}'"
        )
        study.advise("DR323", message, rule.place, found=found, note=note)
        return


def _identified(study: Study, rule: Rule, send: Send) -> bool:
    """Whether the rule sends identified data; reported when it does."""
    if any(name == "deidentify" for name, _ in send.recipe.unpacked()):
        return False
    found = study.confirmed(study.solver.form(rule), {rule.name}, more=_IDENTITY)
    owed = found and found[1].owed_to(send.station)
    if not found or not owed:
        return False
    after = study.laboratory.changed(found[0], owed.recipe)
    told = [] if after is None else _still_told(study, found[0], after)
    if not told:
        return False
    listed = ", ".join(told)
    message = f"rule '{rule.name}' sends '{send.station}', which is outside, who the patient is"
    hint = "add deidentify to its morph, or write external: false in the station"
    study.advise("DR324", message, rule.place, hint=hint, found=found, note=f"unchanged: {listed}")
    return True


def _still_told(study: Study, before: Specimen, after: Specimen) -> list[str]:
    paths = [parse_path(keyword) for keyword in _IDENTITY]
    try:
        old, new = study.laboratory.values(before, paths), study.laboratory.values(after, paths)
    except MorphFailed:
        return []
    return [name for name in _IDENTITY if name in old and old[name] == new.get(name)]


def _flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")
