"""A data set and a sender, made of a witness, and what the engine says of them.

The data set is encoded and read again by the reader that reads arriving instances, the decision is
`route.decide`, recipes are applied by the code that deliveries use. None where no such data set can
be written: then nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.analysis.circumstances import Sender, moment
from router.analysis.formula import Conjunction
from router.analysis.solver import Solver
from router.dicom.dataset import EditableDataSet
from router.dicom.header import HeaderReader
from router.dicom.streams import stream
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.values import Value
from router.errors import BadDataset, MorphFailed
from router.flow.route import decide
from router.match.facts import Facts
from router.match.named_facts import FACTS
from router.model.instance import Source
from router.model.path import Path
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.problem import Example
from router.model.recipe import Recipe
from router.model.rule import Decision
from router.morph.apply import MorphContext, compile_recipe
from router.morph.context import EXAMPLE_KEY

_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
# What every data set has, when the conditions do not say otherwise.
_USUAL: Final[Mapping[str, str]] = {
    "SOPClassUID": _CT,
    "SOPInstanceUID": "2.25.1",
    "StudyInstanceUID": "2.25.2",
    "SeriesInstanceUID": "2.25.3",
}


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


class Laboratory:
    """Makes specimens for one plan, and asks the engine about them."""

    def __init__(self, plan: Plan, solver: Solver, morphs: Mapping[str, Morph]) -> None:
        self._plan = plan
        self._solver = solver
        self._morphs = morphs

    def specimen(
        self,
        conjunction: Conjunction,
        *,
        sender: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Specimen | None:
        """An instance for which the conjunction holds; `more` are attributes it may have besides.

        `sender` is the station it comes from where the conjunction leaves that open.
        """
        if not self._solver.is_solved(conjunction):
            return None
        witness = self._solver.witness(conjunction)
        who = witness.pop("sender", None) or self._some_sender(sender)
        wanted = {name: value for name, value in witness.items() if name not in FACTS}
        extra = {name: (text,) for name, text in (more or {}).items() if name not in wanted}
        usual = {name: (text,) for name, text in _USUAL.items()}
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
            sop_class_uid=witness.get("sop_class", _CT),
            received_at=moment(witness.get("time", 720), witness.get("weekday", 0)),
            given=given,
            about=_about(who, witness),
        )

    def decide(self, specimen: Specimen) -> Decision | None:
        """What the engine decides; None when it would not accept the data set."""
        plan = self._plan
        station = plan.stations.get(specimen.source.station or "")
        reader = HeaderReader(
            specimen.transfer_syntax_uid,
            plan.needs,
            default_character_set=station.character_set if station else "",
        )
        try:
            reader.feed(specimen.data_set)
            reader.finish()
            facts = Facts(
                header=reader,
                source=specimen.source,
                transfer_syntax_uid=specimen.transfer_syntax_uid,
                sop_class_uid=specimen.sop_class_uid,
                received_at=specimen.received_at,
                organization=plan.router.organization,
            )
            return decide(plan, facts)
        except BadDataset:
            return None

    def changed(self, specimen: Specimen, recipe: Recipe) -> Specimen | None:
        """The specimen as it leaves; None when the recipe fails on it."""
        if recipe.is_empty:
            return specimen
        context = MorphContext(
            source=specimen.source,
            received_at=specimen.received_at,
            router_name=self._plan.router.name,
            organization=self._plan.router.organization,
            mapping_key=EXAMPLE_KEY,
        )
        edit = compile_recipe(recipe, self._morphs)
        data_set = self._editable(specimen)
        try:
            edit(data_set, context)
            written = b"".join(stream(data_set.pieces(), _reader(specimen.data_set)))
        except (MorphFailed, BadDataset):
            return None
        return replace(specimen, data_set=written)

    def values(self, specimen: Specimen, paths: Iterable[Path]) -> dict[str, str]:
        """The values of attributes that are there, as shown."""
        data_set = self._editable(specimen)
        found = {path.text: data_set.get(path) for path in paths}
        return {name: _shown(each.values) for name, each in found.items() if each is not None}

    def _editable(self, specimen: Specimen) -> EditableDataSet:
        return EditableDataSet(
            _reader(specimen.data_set), len(specimen.data_set), specimen.transfer_syntax_uid
        )

    def _encoded(self, attributes: Mapping[str, Any], syntax: str) -> bytes | None:
        if layout_of(syntax).deflated:
            return None
        nothing = _reader(b"")
        data_set = EditableDataSet(nothing, 0, syntax, default_character_set="ISO_IR 192")
        try:
            for name, values in attributes.items():
                if values is not None:
                    _put(data_set, parse_path(name), values)
            return b"".join(stream(data_set.pieces(), nothing))
        except (MorphFailed, BadDataset):
            return None

    def _some_sender(self, name: str | None) -> Sender:
        station = self._plan.stations.get(name) if name else None
        if station is None:
            answer = self._solver.anyone()
            return answer if isinstance(answer, Sender) else Sender(None, "ANYONE", "192.0.2.1")
        return Sender(station.name, station.ae_title, "192.0.2.1")

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
        stations=tuple(dict.fromkeys(owed.station for owed in decision.owed)),
        note=note,
    )


def _about(who: Sender, witness: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = [("from", who.station)] if who.station else [("calling_ae_title", who.calling_ae_title)]
    named = ("called_ae_title", "listener", "transfer_syntax", "sop_class")
    rows += [(name, str(witness[name])) for name in named if name in witness]
    if "time" in witness:
        rows.append(("time", f"{witness['time'] // 60:02}:{witness['time'] % 60:02}"))
    if "weekday" in witness:
        rows.append(
            ("weekday", ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[witness["weekday"]])
        )
    return tuple(rows)


def _put(data_set: EditableDataSet, path: Path, values: tuple[Value, ...]) -> None:
    if values:
        first = tuple(replace(step, item=0) if step.item == -1 else step for step in path.steps)
        data_set.set(replace(path, steps=first), values)
    else:
        data_set.set(path, "")


def _shown(values: Any) -> str:
    return "\\".join(map(str, values)) if values else "(empty)"


def _reader(data: bytes) -> Any:
    return lambda offset, length: data[offset : offset + length]
