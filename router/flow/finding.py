"""Finding: answers to queries from the catalogue of what is held here (PS3.4 C.4.1, C.6).

Attributes of a level and those above it can be matched and returned; at IMAGE, whatever the header
has at its top. The catalogue narrows, `dicom.matching` decides. A search stops at the limit of its
query, at its deadline and when nobody wants more; answers are made one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from router.clock import Clock
from router.dicom.identifier import element_of
from router.dicom.matching import matches
from router.errors import BadDataset, MorphFailed
from router.flow.held import HeldHeaders
from router.model import catalogue as known
from router.model.catalogue import MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY
from router.model.query import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Ending,
    Identifier,
    Level,
    Query,
)
from router.store.catalogue import Catalogue
from router.store.ledger import HeldCounts, Ledger
from router.store.records import RecordDamaged

SOP_CLASS_UID: Final = 0x00080016
ISSUER_OF_PATIENT_ID: Final = 0x00100021
COUNTED_AT_ONCE: Final = 25
_ABOVE_IMAGE: Final = known.PATIENT_TAGS | known.STUDY_TAGS | known.SERIES_TAGS
_COUNTS: Final = known.PATIENT_COUNTS | known.STUDY_COUNTS | {known.SERIES_RELATED_INSTANCES}
_UNIQUE: Final[Mapping[Level, tuple[int, ...]]] = {
    "PATIENT": (PATIENT_ID,),
    "STUDY": (STUDY_INSTANCE_UID,),
    "SERIES": (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
    "IMAGE": (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID),
}


@dataclass(slots=True)
class _Candidate:
    """One thing that may be answered: its attributes as text, and where it belongs.

    `patient` is the Patient ID and issuer in the catalogue, whatever is shown.
    """

    texts: dict[int, str]
    study: str = ""
    series: str = ""
    patient: tuple[str, str] = ("", "")
    counts: dict[int, str] = field(default_factory=dict)


def supported_keys(level: Level) -> frozenset[int]:
    """The attributes that can be asked for at a level; at IMAGE those of any header besides."""
    tags = known.PATIENT_TAGS | {known.INSTANCE_AVAILABILITY}
    if level == "PATIENT":
        return tags | known.PATIENT_COUNTS
    tags |= known.STUDY_TAGS | known.STUDY_COUNTS | {MODALITIES_IN_STUDY}
    if level == "STUDY":
        return tags
    return tags | known.SERIES_TAGS | {known.SERIES_RELATED_INSTANCES}


class Finder:
    """Searches what is held here. Shared by threads."""

    def __init__(
        self, catalogue: Catalogue, ledger: Ledger, headers: HeldHeaders, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._headers = headers
        self._clock = clock

    def find(
        self, query: Query, goes_on: Callable[[], bool], *, as_it_came: bool = False
    ) -> Generator[Identifier, None, Ending]:
        """The answers; what ended them. Keys that no answer says anything of are `unsupported`.

        `as_it_came`: for whom a patient is who he was when the object came (protocols 3.3).
        """
        self._catalogue.follow()
        until = self._clock.monotonic() + query.deadline_seconds
        matching = self._matching(
            query, lambda: goes_on() and self._clock.monotonic() < until, as_it_came
        )
        for given, found in enumerate(matching):
            if given == query.limit:
                return Ending(True, f"limit of {query.limit} answers reached, more may exist")
            yield found
        if self._clock.monotonic() >= until:
            return Ending(True, f"stopped after {query.deadline_seconds:g} s, more may exist")
        return Ending(False, "")

    def unsupported(self, query: Query) -> frozenset[int]:
        """The keys of a query that are neither matched nor returned."""
        return frozenset(
            tag
            for tag, key in query.keys.items()
            if key.vr in {"SQ", "UN"}
            or (query.level != "IMAGE" and tag not in supported_keys(query.level))
        )

    def _matching(
        self,
        query: Query,
        goes_on: Callable[[], bool],
        as_it_came: bool,  # noqa: FBT001 - as find was asked
    ) -> Iterator[Identifier]:
        unsupported = self.unsupported(query)
        keys = {tag: key for tag, key in query.keys.items() if tag not in unsupported}
        # Numbers of related things are returned, never matched (PS3.4 table C.3-1).
        tests = {tag: key for tag, key in keys.items() if tag not in _COUNTS}
        asked = tuple(keys) + _UNIQUE[query.level]
        candidates = self._candidates(query.level, tests, asked, goes_on, as_it_came)
        while batch := list(islice(candidates, COUNTED_AT_ONCE)):
            self._count(batch, asked)
            for one in batch:
                texts = one.texts | one.counts
                yield {tag: element_of(tag, texts.get(tag, "")) for tag in asked}
            if not goes_on():
                return

    def _candidates(
        self,
        level: Level,
        tests: Identifier,
        asked: Collection[int],
        goes_on: Callable[[], bool],
        as_it_came: bool,  # noqa: FBT001 - as find was asked
    ) -> Iterator[_Candidate]:
        """What matches, without its counts."""
        narrowing = tests
        if level != "STUDY":
            above = _ABOVE_IMAGE - known.SERIES_TAGS
            narrowing = {tag: key for tag, key in tests.items() if tag in above}
        found = self._studies(narrowing, goes_on, as_it_came)
        if level == "PATIENT":
            found = _one_each_patient(found)
        elif level == "SERIES":
            found = self._series(found)
        elif level == "IMAGE":
            found = self._images(self._series(found), asked, tests, goes_on)
        return (one for one in found if _fits(tests, one.texts))

    def _studies(
        self,
        tests: Identifier,
        goes_on: Callable[[], bool],
        as_it_came: bool,  # noqa: FBT001 - as find was asked
    ) -> Iterator[_Candidate]:
        if as_it_came:
            tests = original_keys(tests)
        for study, attributes, modalities in self._catalogue.studies(tests, goes_on):
            here = {
                STUDY_INSTANCE_UID: study,
                MODALITIES_IN_STUDY: "\\".join(modalities),
                known.INSTANCE_AVAILABILITY: "ONLINE",
            }
            now = attributes.get(PATIENT_ID, ""), attributes.get(ISSUER_OF_PATIENT_ID, "")
            shown = as_they_came(attributes) if as_it_came else attributes
            yield _Candidate({**shown, **here}, study, patient=now)

    def _series(self, studies: Iterable[_Candidate]) -> Iterator[_Candidate]:
        for one in studies:
            for series, attributes in self._catalogue.series(one.study):
                texts = {**one.texts, **attributes, SERIES_INSTANCE_UID: series}
                yield _Candidate(texts, one.study, series, one.patient)

    def _images(
        self,
        series: Iterable[_Candidate],
        asked: Collection[int],
        tests: Identifier,
        goes_on: Callable[[], bool],
    ) -> Iterator[_Candidate]:
        """Instances, the newest version of each; the header is opened where it has to be."""
        told = {SOP_CLASS_UID, SOP_INSTANCE_UID} | _ABOVE_IMAGE | _COUNTS | {MODALITIES_IN_STUDY}
        in_header = frozenset(asked) - told - {known.INSTANCE_AVAILABILITY}
        above = {tag: key for tag, key in tests.items() if tag in _ABOVE_IMAGE}
        named = tests.get(SOP_INSTANCE_UID)
        for one in series:
            if not _fits(above, one.texts):
                continue
            for version in self._ledger.held_versions(one.study, one.series):
                if not goes_on():
                    return
                if named and named.values and version.sop_instance_uid not in named.values:
                    continue
                texts = self._image(version.instance_id, in_header)
                if texts is not None:
                    yield _Candidate({**one.texts, **texts}, one.study, one.series, one.patient)

    def _image(self, instance_id: int, in_header: frozenset[int]) -> dict[int, str] | None:
        held = self._ledger.instance(instance_id)
        if held is None or held.record is None:
            return None
        texts: dict[int, str] = {}
        if in_header:
            try:
                texts = self._headers.attributes(held, in_header)
            except (RecordDamaged, BadDataset, MorphFailed):
                return None
        instance = held.instance
        texts[SOP_CLASS_UID] = instance.sop_class_uid
        texts[SOP_INSTANCE_UID] = instance.sop_instance_uid
        return texts

    def _count(self, batch: list[_Candidate], asked: Collection[int]) -> None:
        """Fill in the numbers of related things, where they are asked for."""
        wanted = _COUNTS.intersection(asked)
        if not wanted:
            return
        if wanted & known.PATIENT_COUNTS:
            for one in batch:
                studies = self._catalogue.studies_of_patient(*one.patient)
                one.counts.update(_patient_counts(studies, self._ledger.held_counts(studies)))
        by_study: dict[str, list[HeldCounts]] = defaultdict(list)
        for counts in self._ledger.held_counts({one.study for one in batch}):
            by_study[counts.study_instance_uid].append(counts)
        for one in batch:
            one.counts.update(_study_counts(by_study[one.study], one.series))


def original_keys(keys: Identifier) -> dict[int, DataElement]:
    """Keys for the catalogue, of whoever knows patients as they came; of the issuer nothing."""
    found = {tag: key for tag, key in keys.items() if tag not in {PATIENT_ID, ISSUER_OF_PATIENT_ID}}
    if PATIENT_ID in keys:
        found[known.ORIGINAL_PATIENT_ID] = keys[PATIENT_ID]
    return found


def as_they_came(attributes: Mapping[int, str]) -> dict[int, str]:
    """The attributes of a study with Patient ID and issuer as they came."""
    original = {
        PATIENT_ID: attributes.get(known.ORIGINAL_PATIENT_ID, attributes.get(PATIENT_ID, "")),
        ISSUER_OF_PATIENT_ID: attributes.get(
            known.ORIGINAL_ISSUER, attributes.get(ISSUER_OF_PATIENT_ID, "")
        ),
    }
    return {**attributes, **original}


def _one_each_patient(studies: Iterable[_Candidate]) -> Iterator[_Candidate]:
    seen: set[tuple[str, str]] = set()
    for one in studies:
        patient = one.texts.get(PATIENT_ID, ""), one.texts.get(ISSUER_OF_PATIENT_ID, "")
        if patient not in seen:
            seen.add(patient)
            yield one


def _fits(tests: Identifier, texts: Mapping[int, str]) -> bool:
    found: dict[int, DataElement] = {
        tag: element_of(tag, texts[tag]) for tag in tests if tag in texts
    }
    return matches(tests, found)


def _patient_counts(studies: Collection[str], counts: Collection[HeldCounts]) -> dict[int, str]:
    series = {(one.study_instance_uid, one.series_instance_uid) for one in counts}
    return {
        known.PATIENT_RELATED_STUDIES: str(len(studies)),
        known.PATIENT_RELATED_SERIES: str(len(series)),
        known.PATIENT_RELATED_INSTANCES: str(sum(one.instances for one in counts)),
    }


def _study_counts(counts: Collection[HeldCounts], series: str) -> dict[int, str]:
    of_series = (one.instances for one in counts if one.series_instance_uid == series)
    return {
        known.STUDY_RELATED_SERIES: str(len({one.series_instance_uid for one in counts})),
        known.STUDY_RELATED_INSTANCES: str(sum(one.instances for one in counts)),
        SOP_CLASSES_IN_STUDY: "\\".join(sorted({one.sop_class_uid for one in counts})),
        known.SERIES_RELATED_INSTANCES: str(sum(of_series)),
    }
