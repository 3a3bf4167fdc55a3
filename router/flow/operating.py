"""Operating: C-FIND, C-MOVE and C-GET of stations that may ask (`query_retrieve: true`).

Who may not is told 0x0124. What is asked is checked, bounded in answers, time and number at once, and
given to whoever knows: the catalogue and the store, or the DICOMweb station that is called. Patient data is in the answers alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Final

from router.dicom.charset import is_known
from router.dicom.identifier import decode_identifier, encode_identifier
from router.dicom.values import ValueProblem
from router.dimse.command import C_FIND_RQ, C_MOVE_RQ
from router.dimse.handlers import Exchange, OperationAnswer, OperationRequest
from router.errors import BadDataset, Refused, StoreDown
from router.flow.asking import find_query, retrieve_query
from router.flow.finding import Finder
from router.flow.handing_out import HandingOut
from router.flow.passing_on import PassingOn
from router.flow.read_through import ReadThrough
from router.flow.supply import Supply
from router.model.plan import Plan
from router.model.query import (
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    DataElement,
    Identifier,
    Query,
)
from router.model.station import Station
from router.model.status import (
    CANCELLED,
    LIMIT_REACHED,
    OUT_OF_RESOURCES,
    PENDING,
    PENDING_WITH_UNSUPPORTED_KEYS,
    SUCCESS,
    UNABLE_TO_PERFORM,
)
from router.peers.search import Search

MAX_ANSWERS: Final = 10_000
FIND_SECONDS: Final = 60.0
MAX_FINDS: Final = 8
MAX_RETRIEVALS: Final = 32


class Operations:
    """The query and retrieve services. Shared by threads."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        finder: Finder,
        passing_on: PassingOn,
        read_through: ReadThrough,
        handing_out: HandingOut,
    ) -> None:
        self._plan = plan
        self._finder = finder
        self._passing_on = passing_on
        self._read_through = read_through
        self._handing_out = handing_out
        self._finds = threading.BoundedSemaphore(MAX_FINDS)
        self._retrievals = threading.BoundedSemaphore(MAX_RETRIEVALS)

    def operate(
        self, request: OperationRequest, exchange: Exchange
    ) -> Generator[OperationAnswer, None, None]:
        """The answers to a request; see `dimse.handlers.Handlers`."""
        station = self._asking_station(request)
        identifier = decode_identifier(
            request.identifier, request.transfer_syntax_uid, station.character_set
        )
        slots = self._finds if request.field == C_FIND_RQ else self._retrievals
        if not slots.acquire(blocking=False):
            yield OperationAnswer(OUT_OF_RESOURCES, "too many requests at once, try again later")
            return
        try:
            yield from self._answers(request, station, identifier, exchange)
        finally:
            slots.release()

    def studies(self, request: OperationRequest) -> tuple[str, ...]:
        """The studies a C-MOVE or C-GET asks for, as far as they are named or held here."""
        try:
            station = self._asking_station(request)
            identifier = decode_identifier(
                request.identifier, request.transfer_syntax_uid, station.character_set
            )
            query = retrieve_query(identifier, request.sop_class_uid)
            return self._handing_out.studies(query, as_it_came=station.original_patient_id)
        except (BadDataset, Refused, StoreDown):
            return ()

    def _asking_station(self, request: OperationRequest) -> Station:
        station = self._plan().stations.get(request.source.station or "")
        if station is None or not station.query_retrieve:
            raise Refused("not permitted to query or retrieve here")
        return station

    def _answers(
        self,
        request: OperationRequest,
        station: Station,
        identifier: Identifier,
        exchange: Exchange,
    ) -> Iterator[OperationAnswer]:
        archive = self._archive(request)
        if request.field == C_FIND_RQ:
            return self._found(request, station, identifier, archive, exchange)
        query = retrieve_query(identifier, request.sop_class_uid)
        if request.field != C_MOVE_RQ:
            supply = self._supply(station, archive, query, exchange)
            return self._handing_out.get(request, station, supply, exchange)
        destination = self._handing_out.destination(station, request.move_destination)
        if archive is not None and self._handing_out.is_away(destination):
            raise Refused(f"station {destination.name} is not online", UNABLE_TO_PERFORM)
        supply = self._supply(station, archive, query, exchange)
        return self._handing_out.move(request, station, destination, supply, exchange)

    def _supply(
        self, station: Station, archive: Station | None, query: Query, exchange: Exchange
    ) -> Supply:
        if archive is None:
            return self._handing_out.held(query, as_it_came=station.original_patient_id)
        batches = self._read_through.supply(archive, query, lambda: not exchange.is_cancelled())
        return Supply(batches)

    def _archive(self, request: OperationRequest) -> Station | None:
        """The DICOMweb station that is called; None: what is held here is asked for."""
        source, plan = request.source, self._plan()
        archive = plan.passed_on_by_ae_title.get(source.called_ae_title)
        if archive and source.called_ae_title in plan.listeners[source.listener].ae_titles:
            return None
        return archive

    def _found(
        self,
        request: OperationRequest,
        station: Station,
        identifier: Identifier,
        archive: Station | None,
        exchange: Exchange,
    ) -> Iterator[OperationAnswer]:
        """What is found, as it leaves: here, or at the archive."""
        query = find_query(identifier, request.sop_class_uid, MAX_ANSWERS, FIND_SECONDS)
        ours = {
            QUERY_RETRIEVE_LEVEL: DataElement("CS", (query.level,)),
            RETRIEVE_AE_TITLE: DataElement("AE", (request.source.called_ae_title,)),
        }
        character_set = _character_set(identifier, station)

        def goes_on() -> bool:
            return not exchange.is_cancelled()

        if archive is None:
            view = station.original_patient_id
            search = Search(self._finder.find(query, goes_on, as_it_came=view))
        else:
            search = Search(self._passing_on.find(archive, query, goes_on))
        with closing(iter(search)) as answers:
            for one in answers:
                is_whole = query.keys.keys() <= one.keys()
                status = PENDING if is_whole else PENDING_WITH_UNSUPPORTED_KEYS
                data = _encoded({**one, **ours}, request.transfer_syntax_uid, character_set)
                yield OperationAnswer(status, identifier=data)
                if exchange.is_cancelled():
                    break
        if exchange.is_cancelled():
            yield OperationAnswer(CANCELLED, "cancelled")
        elif search.ending.is_truncated:
            yield OperationAnswer(LIMIT_REACHED, search.ending.words)
        else:
            yield OperationAnswer(SUCCESS)


def _encoded(identifier: Identifier, transfer_syntax_uid: str, character_set: str) -> bytes:
    """The bytes of an answer; an element that cannot be written is left empty."""
    try:
        return encode_identifier(identifier, transfer_syntax_uid, character_set)
    except ValueProblem:
        whole = {}
        for tag, element in identifier.items():
            try:
                encode_identifier({tag: element}, transfer_syntax_uid, character_set)
                whole[tag] = element
            except ValueProblem:
                whole[tag] = DataElement(element.vr)
        return encode_identifier(whole, transfer_syntax_uid, character_set)


def _character_set(identifier: Identifier, station: Station) -> str:
    """What answers are written in where it holds their texts: as asked, else as configured."""
    declared = identifier.get(SPECIFIC_CHARACTER_SET)
    if declared is not None and declared.text and is_known(declared.text):
        return declared.text
    return station.character_set
