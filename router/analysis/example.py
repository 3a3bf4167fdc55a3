"""A data set and a sender, made of a witness, and what the engine says of them.

The data set is encoded and read again by the reader that reads arriving instances, the decision is
`route.decide`, recipes are applied by the code that deliveries use. None where no such data set can
be written: then nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from router.analysis.circumstances import Sender, moment
from router.analysis.formula import Conjunction
from router.analysis.made import CT_IMAGE_STORAGE, USUAL, access, encoded, written
from router.analysis.solver import Solver
from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.values import Value
from router.errors import BadDataset, MorphFailed
from router.flow.explain import Subject, routed_as
from router.flow.received import ReceiveHooks, context_of
from router.match.named_facts import FACTS, WEEKDAYS
from router.model.instance import Source
from router.model.path import ALL_ITEMS, Path
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.problem import Example
from router.model.recipe import Recipe
from router.model.rule import Decision
from router.morph.apply import compile_recipe
from router.morph.context import EXAMPLE_KEY


@dataclass(frozen=True, slots=True)
class Specimen:
    """An instance that never was. `given` are the attributes that matter, with shown values."""

    source: Source
    data_set: bytes
    transfer_syntax_uid: str
    sop_class_uid: str
    received_at: float
    given: tuple[tuple[str, str], ...]
    about: tuple[tuple[str, str], ...]

    @property
    def subject(self) -> Subject:
        """The instance as the engine is given it."""
        return Subject(
            access(self.data_set),
            len(self.data_set),
            self.transfer_syntax_uid,
            self.sop_class_uid,
            self.source,
            self.received_at,
        )


class Laboratory:
    """Makes specimens for one plan, and asks the engine about them."""

    def __init__(self, plan: Plan, solver: Solver, morphs: Mapping[str, Morph]) -> None:
        self._plan = plan
        self._solver = solver
        self._morphs = morphs
        self._hooks = ReceiveHooks(morphs)

    def specimen(
        self,
        conjunction: Conjunction,
        more: Mapping[str, str] | None = None,
    ) -> Specimen | None:
        """An instance for which the conjunction holds; `more` are attributes it may have besides."""
        if not self._solver.is_solved(conjunction):
            return None
        witness = self._solver.witness(conjunction)
        who = witness.pop("sender", None) or self._anyone()
        wanted = {name: value for name, value in witness.items() if name not in FACTS}
        extra = {name: (text,) for name, text in (more or {}).items() if name not in wanted}
        usual = {name: (text,) for name, text in USUAL.items()}
        syntax = witness.get("transfer_syntax", EXPLICIT_VR_LITTLE_ENDIAN)
        data_set = self._encoded({**usual, **extra, **wanted}, syntax)
        if data_set is None:
            return None
        shown = {**extra, **wanted}
        given = tuple((name, _shown(value)) for name, value in shown.items() if value is not None)
        return Specimen(
            source=self._source(who, witness),
            data_set=data_set,
            transfer_syntax_uid=syntax,
            sop_class_uid=witness.get("sop_class", CT_IMAGE_STORAGE),
            received_at=moment(witness.get("time", 720), witness.get("weekday", 0)),
            given=given,
            about=_about(who, witness),
        )

    def decide(self, specimen: Specimen) -> Decision | None:
        """What the engine decides; None when it would not accept the data set."""
        try:
            return routed_as(self._plan, specimen.subject, self._hooks).decision
        except BadDataset:
            return None

    def changed(self, specimen: Specimen, recipe: Recipe) -> Specimen | None:
        """The specimen as it leaves; None when the recipe fails on it."""
        if recipe.is_empty:
            return specimen
        edit = compile_recipe(recipe, self._morphs)
        data_set = self._editable(specimen)
        try:
            subject = specimen.subject
            context = context_of(self._plan, subject.source, subject.received_at, EXAMPLE_KEY)
            edit(data_set, context)
            return replace(specimen, data_set=written(data_set, access(specimen.data_set)))
        except (MorphFailed, BadDataset):
            return None

    def values(self, specimen: Specimen, paths: Iterable[Path]) -> dict[str, str]:
        """The values of attributes that are there, as shown."""
        data_set = self._editable(specimen)
        found = {path.text: data_set.get(path) for path in paths}
        return {name: _shown(each.values) for name, each in found.items() if each is not None}

    def _editable(self, specimen: Specimen) -> EditableDataSet:
        return EditableDataSet(
            access(specimen.data_set), len(specimen.data_set), specimen.transfer_syntax_uid
        )

    def _encoded(self, attributes: Mapping[str, Any], syntax: str) -> bytes | None:
        if layout_of(syntax).deflated:
            return None
        present = (
            _placed(parse_path(name), values)
            for name, values in attributes.items()
            if values is not None
        )
        try:
            return encoded(present, syntax)
        except (MorphFailed, BadDataset):
            return None

    def _anyone(self) -> Sender:
        answer = self._solver.anyone()
        return answer if isinstance(answer, Sender) else Sender(None, "ANYONE", "192.0.2.1")

    def _source(self, who: Sender, witness: Mapping[str, Any]) -> Source:
        plan = self._plan
        asked = witness.get("called_ae_title")
        listeners = [
            each
            for each in plan.listeners.values()
            if each.kind == "dimse"
            and each.name == witness.get("listener", each.name)
            and (asked is None or asked in each.ae_titles)
        ]
        first = listeners[0] if listeners else None
        titles = first.ae_titles if first else ()
        return Source(
            listener=witness.get("listener", first.name if first else ""),
            calling_ae_title=who.calling_ae_title,
            called_ae_title=asked or (titles[0] if titles else plan.router.ae_title),
            address=who.address,
            station=who.station,
        )


def shown(specimen: Specimen, decision: Decision, note: str = "") -> Example:
    """The specimen and its decision, as a problem carries them."""
    refused = decision.refusal is not None
    return Example(
        sender=specimen.about,
        attributes=specimen.given,
        rules=decision.rules,
        outcome="refused" if refused else decision.disposition.value,
        stations=tuple(
            dict.fromkeys(one.station for owed in decision.owed for one in owed.alternatives)
        ),
        note=note,
    )


def _about(who: Sender, witness: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = [("from", who.station)] if who.station else [("calling_ae_title", who.calling_ae_title)]
    named = ("called_ae_title", "listener", "transfer_syntax", "sop_class")
    rows += [(name, str(witness[name])) for name in named if name in witness]
    if "time" in witness:
        rows.append(("time", f"{witness['time'] // 60:02}:{witness['time'] % 60:02}"))
    if "weekday" in witness:
        rows.append(("weekday", WEEKDAYS[witness["weekday"]]))
    return tuple(rows)


def _placed(path: Path, values: tuple[Value, ...]) -> tuple[Path, Value | tuple[Value, ...]]:
    """A value in any item is written into the first."""
    if not values:
        return path, ""
    first = (replace(step, item=0) if step.item == ALL_ITEMS else step for step in path.steps)
    return replace(path, steps=tuple(first)), values


def _shown(values: Any) -> str:
    return "\\".join(map(str, values)) if values else "(empty)"
