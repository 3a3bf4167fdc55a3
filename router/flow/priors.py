"""Priors: the earlier studies of a patient are fetched from archives when a study comes in.

A rule with `fetch_priors` is answered once for each study it matched. Its archives are searched by
the exact Patient ID, what is wanted of the answers is chosen here, and what is not held yet is
retrieved; it arrives like anything of that archive, and the rules route it. What an archive sends
never asks for priors itself. Trouble is tried again, later and later, for three days.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.errors import BadDataset, MorphFailed, RouterError, StoreDown, StoreFull
from router.flow.held import HeldHeaders
from router.flow.querying import asked, search_hooks
from router.flow.retrieving import verdict
from router.flow.statuses import Statuses
from router.model.catalogue import MODALITY
from router.model.plan import Plan
from router.model.query import (
    PATIENT_ID,
    STUDY_INSTANCE_UID,
    DataElement,
    Identifier,
    MoveProgress,
    Query,
    Retrieval,
)
from router.model.rule import FetchPriors
from router.model.station import Station, is_within
from router.peers.peer import Peer
from router.peers.search import Searchable
from router.store.ledger import Ledger, Prior
from router.store.records import RecordDamaged
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 30.0
AGAIN_FIRST_SECONDS: Final = 5.0
AGAIN_MAX_SECONDS: Final = 3600.0
CLOSED_SECONDS: Final = 60.0
GIVE_UP_SECONDS: Final = 3 * 86400.0
# Not by age alone: a wall clock that was set forward must not end what was hardly tried.
LEAST_TRIES: Final = 3
FIND_SECONDS: Final = 60.0
RETRIEVE_SECONDS: Final = 3600.0
MAX_ANSWERS: Final = 500
SAME: Final = "same"
ISSUER: Final = 0x00100021
STUDY_DATE: Final = 0x00080020
STUDY_TIME: Final = 0x00080030
STUDY_DESCRIPTION: Final = 0x00081030
MODALITIES_IN_STUDY: Final = 0x00080061
INSTANCES_OF_STUDY: Final = 0x00201208
_ASKED: Final = (
    (STUDY_INSTANCE_UID, "UI"),
    (STUDY_DATE, "DA"),
    (STUDY_TIME, "TM"),
    (STUDY_DESCRIPTION, "LO"),
    (MODALITIES_IN_STUDY, "CS"),
    (INSTANCES_OF_STUDY, "IS"),
    (ISSUER, "LO"),
)
Retrieve = Callable[[Station, Peer, Retrieval, Callable[[], bool]], Iterator[MoveProgress]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    station: Station
    study_instance_uid: str
    date: str
    instances: int


@dataclass(frozen=True, slots=True)
class Archives:
    """How stations are reached: a peer for each use, and what a retrieval is."""

    make_peer: Callable[[Station], Peer]
    retrieve: Retrieve
    statuses: Statuses
    mapping_key: bytes


class Priors:
    """Notices and fetches; `run` is its thread, `end` makes it leave off."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        headers: HeldHeaders,
        archives: Archives,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._headers = headers
        self._archives = archives
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._stop = threading.Event()
        self._wanted: Mapping[str, FetchPriors] = {
            rule.name: rule.fetch_priors
            for rule in plan.rules
            if rule.enabled and rule.fetch_priors is not None
        }
        self._names = [one.name for one in plan.stations.values() if one.archive_server]

    def end(self) -> None:
        """Begin nothing more, and cancel what is retrieved: it is begun again by whoever follows."""
        self._stop.set()

    def run(self) -> None:
        """Look again and again until told to end. A store in trouble is told and tried again."""
        wait_seconds = 0.0
        while not self._clock.wait(self._stop, wait_seconds):
            try:
                self._ledger.notice_priors(
                    self._wanted, self._names, self._plan.digest, self._clock.now()
                )
                if not self._wanted:
                    # Said again: a process of the configuration before may have looked since.
                    wait_seconds = TROUBLE_SECONDS
                    continue
                for prior in self._ledger.due_priors(self._clock.now()):
                    self._look(prior)
                wait_seconds = LOOK_SECONDS
            except (StoreDown, StoreFull) as error:
                self._log.error("priors cannot be noted", reason=str(error))
                wait_seconds = TROUBLE_SECONDS

    def _look(self, prior: Prior) -> None:
        wanted, now = self._wanted.get(prior.rule), self._clock.now()
        if wanted is None:
            self._settle(prior, "failed", "the rule is gone, or wants no priors any more")
            return
        if not is_within(wanted.hours, self._clock.minute_of_day()):
            due_at = now + CLOSED_SECONDS
            self._ledger.settle_prior(
                prior.prior_id, "waiting", "outside its hours", now, due_at, tried=False
            )
            return
        try:
            message, trouble = self._fetched(prior, wanted)
        except (RecordDamaged, BadDataset, MorphFailed) as error:
            self._settle(prior, "failed", f"who the patient is cannot be read: {error}")
            return
        if self._stop.is_set():
            return
        if not trouble:
            self._settle(prior, "fetched", message)
        elif now - prior.created_at > GIVE_UP_SECONDS and prior.tries >= LEAST_TRIES:
            self._settle(prior, "failed", f"{message}; {trouble}, given up")
        else:
            self._settle(prior, "waiting", f"{message}; {trouble}")

    def _settle(self, prior: Prior, state: str, message: str) -> None:
        now = self._clock.now()
        wait = min(AGAIN_MAX_SECONDS, AGAIN_FIRST_SECONDS * 2 ** min(prior.tries, 12))
        self._ledger.settle_prior(prior.prior_id, state, message, now, now + wait)
        self._metrics.priors.add("retried" if state == "waiting" else state)
        tell = self._log.info if state == "fetched" else self._log.warning
        tell(
            "priors", rule=prior.rule, study=prior.study_instance_uid, result=state, reason=message
        )

    def _fetched(self, prior: Prior, wanted: FetchPriors) -> tuple[str, str]:
        """What came of it, and what was in the way."""
        held = self._ledger.instance(prior.instance_id)
        if held is None:
            return "the instance is not in the ledger any more", ""
        patient = self._headers.attributes(held, (PATIENT_ID, ISSUER, MODALITY))
        if not patient.get(PATIENT_ID):
            return "the study has no Patient ID", ""
        found, troubles = self._found(prior, wanted, patient)
        here = {
            one.study_instance_uid: one.instances
            for one in self._ledger.held_studies([one.study_instance_uid for one in found])
        }
        count = known = 0
        for one in found:
            if 0 < one.instances <= here.get(one.study_instance_uid, 0):
                known += 1
                continue
            trouble = self._retrieve(one)
            if trouble:
                troubles.append(trouble)
            else:
                count += 1
            if self._stop.is_set():
                break
        return f"{count} studies fetched, {known} were here", "; ".join(troubles)

    def _found(
        self, prior: Prior, wanted: FetchPriors, patient: Mapping[int, str]
    ) -> tuple[list[_Candidate], list[str]]:
        found: dict[str, _Candidate] = {}
        troubles: list[str] = []
        for name in wanted.stations:
            station = self._plan.stations[name]
            if not station.active or self._archives.statuses.state(name) == "offline":
                troubles.append(f"{name} is not online")
                continue
            try:
                for answer in self._search(station, patient[PATIENT_ID]):
                    uid = _text(answer, STUDY_INSTANCE_UID)
                    if uid != prior.study_instance_uid and _is_wanted(answer, wanted, patient):
                        found.setdefault(uid, _candidate(station, uid, answer))
            except RouterError as error:
                troubles.append(f"{name}: {error}")
        latest = sorted(found.values(), key=lambda one: one.date, reverse=True)
        return latest[: wanted.at_most], troubles

    def _search(self, station: Station, patient_id: str) -> Iterator[Identifier]:
        keys = {tag: DataElement(vr) for tag, vr in _ASKED}
        keys[PATIENT_ID] = DataElement("LO", (patient_id,))
        query = Query("STUDY", keys, MAX_ANSWERS, FIND_SECONDS)
        archives = self._archives
        ask, told = search_hooks(self._plan, station, archives.mapping_key, self._clock.now())
        peer = archives.make_peer(station)
        try:
            if isinstance(peer, Searchable):
                yield from map(told, peer.find(asked(query, ask), self._stop.is_set))
        finally:
            peer.close()

    def _retrieve(self, one: _Candidate) -> str:
        """Have it here; what was in the way, or nothing."""
        wanted = Retrieval(one.study_instance_uid, "", RETRIEVE_SECONDS)
        peer = self._archives.make_peer(one.station)
        last: MoveProgress | None = None
        failure = ""
        try:
            for told in self._archives.retrieve(one.station, peer, wanted, self._stop.is_set):
                last = told
        except RouterError as error:
            failure = str(error)
        finally:
            peer.close()
        is_done, message = verdict(last, failure)
        return "" if is_done else f"{one.station.name}: {message}"


def _is_wanted(answer: Identifier, wanted: FetchPriors, patient: Mapping[int, str]) -> bool:
    # A Patient ID with * or ? in it is a pattern to the archive, and to nobody here.
    if _text(answer, PATIENT_ID) != patient[PATIENT_ID]:
        return False
    issuer = _text(answer, ISSUER)
    if issuer and patient.get(ISSUER) and issuer != patient[ISSUER]:
        return False
    own = patient.get(MODALITY, "")
    modalities = {own if one == SAME else one for one in wanted.modalities}
    if modalities and not modalities & set(_text(answer, MODALITIES_IN_STUDY).split("\\")):
        return False
    description = _text(answer, STUDY_DESCRIPTION).casefold()
    return not wanted.words or any(word.casefold() in description for word in wanted.words)


def _candidate(station: Station, uid: str, answer: Identifier) -> _Candidate:
    number = _text(answer, INSTANCES_OF_STUDY)
    date = _text(answer, STUDY_DATE) + _text(answer, STUDY_TIME)
    return _Candidate(station, uid, date, int(number) if number.isdecimal() else 0)


def _text(answer: Identifier, tag: int) -> str:
    element = answer.get(tag)
    return element.text.strip() if element is not None else ""
