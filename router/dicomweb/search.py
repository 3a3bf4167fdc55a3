"""QIDO-RS on one station (PS3.18 10.6): what can be asked is asked, the rest is matched here.

Each key goes into the request exactly, as a superset, or not at all, by what the server's profile
says it can search by; every answer is then held against all keys by the rules of C-FIND, so that a
server that ignores a key gives no wrong answer. Pages are merged by UID, since they shift while
studies arrive.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final
from urllib.parse import quote

from router.clock import Clock
from router.dicom.json_model import from_json
from router.dicom.matching import RANGE_VRS, WILDCARD_VRS, is_universal, matches
from router.dicomweb.outcome import HttpAnswer, answer_words, refusal
from router.errors import BadDataset, DeliveryError, Rejected, Unreachable
from router.model.plug import Profile
from router.model.query import (
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    UNIQUE_KEYS,
    DataElement,
    Ending,
    Identifier,
    Query,
)

Get = Callable[[str, float], HttpAnswer]

# So many results are looked at for one search, matching or not, and so many requests made.
MAX_EXAMINED: Final = 20_000
MAX_REQUESTS: Final = 200
_MAX_ALTERNATIVES: Final = 100
_NEEDS_PERCENT: Final = re.compile(r"[^A-Za-z0-9._~*-]+")
# SOPInstanceUID, Modality, ManufacturerModelName, SeriesInstanceUID, PPS Start Date
_BELOW_STUDY: Final = frozenset({0x00080018, 0x00080060, 0x00081090, 0x0020000E, 0x00400244})


def search(
    get: Get, profile: Profile, query: Query, wish_to_cancel: Callable[[], bool], clock: Clock
) -> Generator[Identifier, None, Ending]:
    """The matching results, each once. Raises Rejected, Busy, Unreachable or DeliveryError.

    `get(resource, seconds)` is one GET below the station's address.
    """
    pages = _Pages(get, profile, query, wish_to_cancel, clock)
    key = UNIQUE_KEYS[query.level]
    given: set[str] = set()
    seen: set[int] = set()
    for found in pages.results():
        seen.update(found)
        uid = found[key].text if key in found else ""
        if not uid or uid in given or not matches(_matched_here(query, found), found):
            continue
        if len(given) == query.limit:
            return Ending(True, "there are more", pages.not_pushed)
        given.add(uid)
        yield found
    unsupported = (frozenset(query.keys) - seen) if given else frozenset()
    return Ending(pages.stopped != "", pages.stopped or "complete", unsupported)


def _matched_here(query: Query, found: Identifier) -> Mapping[int, DataElement]:
    """The keys to hold against an answer: those in the path need not be repeated in it."""
    path_keys = {STUDY_INSTANCE_UID, SERIES_INSTANCE_UID} - {UNIQUE_KEYS[query.level]}
    return {tag: one for tag, one in query.keys.items() if tag in found or tag not in path_keys}


class NothingToSearchBy(Rejected):
    """The server's profile takes none of the keys, and nobody reads a whole archive for one study."""


class _Pages:
    """The requests of one search. `stopped` says why it ended before the end, '' when it did not.

    `not_pushed` are keys with values that the server was not asked to search by.
    """

    def __init__(
        self,
        get: Get,
        profile: Profile,
        query: Query,
        wish_to_cancel: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._get = get
        self._profile = profile
        self._query = query
        self._wish_to_cancel = wish_to_cancel
        self._monotonic = clock.monotonic
        self._ends_at = clock.monotonic() + query.deadline_seconds
        self._examined = 0
        self._requests = 0
        self.stopped = ""
        self._resource, in_path = _resource(query)
        self._searched_by = profile.query_keys
        if self._searched_by is not None and in_path:
            # Below a study such servers take no key of the levels above (PS3.18 10.6.1.2).
            self._searched_by &= _BELOW_STUDY
        self._pushed: dict[int, list[str]] = {}
        self._fuzzy = False
        for tag, key in query.keys.items():
            if tag not in in_path and not is_universal(key):
                values = self._pushable(tag, key)
                if values:
                    self._pushed[tag] = values
        constrained = {tag for tag, key in query.keys.items() if not is_universal(key)}
        self.not_pushed = frozenset(constrained - set(self._pushed) - in_path)
        limited = profile.query_keys is not None
        if limited and constrained and not self._pushed and not in_path:
            raise NothingToSearchBy(
                "the station can search by none of these keys; add a date or an ID"
            )

    def results(self) -> Iterator[Identifier]:
        """Every result of every request, as it comes; some twice."""
        tags = list(self._pushed)
        alternatives = itertools.product(*(self._pushed[tag] for tag in tags))
        for number, values in enumerate(alternatives):
            if number >= _MAX_ALTERNATIVES:
                self.stopped = f"only {_MAX_ALTERNATIVES} combinations of listed values were asked"
                return
            yield from self._paged(dict(zip(tags, values, strict=True)))
            if self.stopped:
                return

    def _paged(self, asked: Mapping[int, str]) -> Iterator[Identifier]:
        known: set[str] = set()
        key = UNIQUE_KEYS[self._query.level]
        offset = 0
        while not self.stopped:
            page = self._page(asked, offset)
            fresh = [one for one in page if key in one and one[key].text not in known]
            known.update(one[key].text for one in fresh)
            # A page with nothing new is the end, also at a server that ignores `offset`.
            if not fresh:
                return
            self._examined += len(page)
            yield from fresh
            offset += len(page)
            if self._examined >= MAX_EXAMINED or self._requests >= MAX_REQUESTS:
                self.stopped = f"stopped after {self._examined} results; narrow the search"

    def _page(self, asked: Mapping[int, str], offset: int) -> list[dict[int, DataElement]]:
        if self._wish_to_cancel():
            self.stopped = "cancelled"
            return []
        seconds = self._ends_at - self._monotonic()
        if seconds <= 0:
            raise Unreachable("the search was not over in time")
        self._requests += 1
        safe = "" if self._profile.decodes_percent else "*"
        parameters = [f"{tag:08X}={quote(value, safe=safe)}" for tag, value in asked.items()]
        parameters += [f"includefield={tag:08X}" for tag in self._query.keys]
        if self._fuzzy:
            parameters.append("fuzzymatching=true")
        parameters += [f"limit={self._profile.query_limit}", f"offset={offset}"]
        answer = self._get(f"{self._resource}?{'&'.join(parameters)}", seconds)
        return _results(answer)

    def _pushable(self, tag: int, key: DataElement) -> list[str]:
        """The values to ask for, one request each; none where the key is matched here alone."""
        profile = self._profile
        if key.vr == "SQ" or (self._searched_by is not None and tag not in self._searched_by):
            return []
        values = [str(value).strip() for value in key.values if str(value).strip()]
        if key.vr in RANGE_VRS:
            return values
        if key.vr == "PN" and profile.fuzzy_names:
            return self._fuzzy_names(values)
        wild = any(c in value for value in values for c in "*?")
        if key.vr in WILDCARD_VRS and wild and not profile.query_wildcards:
            return []
        if key.vr in WILDCARD_VRS and not profile.decodes_percent:
            values = [_NEEDS_PERCENT.sub("*", value) for value in values]
            return [] if any(not value.strip("*") for value in values) else values
        return values

    def _fuzzy_names(self, values: list[str]) -> list[str]:
        """Beginnings of words: of `YAMADA*`, `YAMADA`; a name without a fixed start is not asked."""
        if len(values) != 1 or "=" in values[0] or '"' in values[0]:
            return []
        start = values[0].split("*")[0].split("?")[0].replace("^", " ").strip()
        if not start:
            return []
        self._fuzzy = True
        return [start]


def _resource(query: Query) -> tuple[str, frozenset[int]]:
    """The path (PS3.18 table 10.6.1-2), and the keys that are in it."""
    level = query.level
    names = {"PATIENT": "studies", "STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}
    path, used = names[level], set()
    study = _single(query, STUDY_INSTANCE_UID)
    if level in ("SERIES", "IMAGE") and study:
        path, used = f"studies/{study}/{path}", {STUDY_INSTANCE_UID}
        series = _single(query, SERIES_INSTANCE_UID)
        if level == "IMAGE" and series:
            path = f"studies/{study}/series/{series}/instances"
            used.add(SERIES_INSTANCE_UID)
    return path, frozenset(used)


def _single(query: Query, tag: int) -> str:
    key = query.keys.get(tag)
    text = key.text if key is not None else ""
    return text if text and all(c.isdigit() or c == "." for c in text) else ""


def _results(answer: HttpAnswer) -> list[dict[int, DataElement]]:
    if answer.status == 204:
        return []
    words = f"QIDO-RS: {answer_words(answer)}"
    if answer.status in (200, 206):
        try:
            documents = json.loads(answer.body or b"[]")
        except (ValueError, RecursionError):
            documents = None
        if not isinstance(documents, list):
            raise DeliveryError("QIDO-RS: the answer is no list of data sets")
        try:
            return [from_json(one) for one in documents]
        except BadDataset as error:
            raise DeliveryError("QIDO-RS: the answer is no list of data sets") from error
    raise refusal(answer, words)
