"""Received: what the receive hook of a station makes of what comes from it, for the rules to see.

Rules are asked about the object as the hook leaves it; what is kept is the object as it came, and
the hook's steps stand first in the recipe of every delivery. The steps run over a copy of the
header, taken while it passes and bounded; stations without a hook cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import RandomAccess
from router.dicom.header import HeaderReader
from router.dicom.inflate import InflatedAccess
from router.dicom.splice import Piece
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.errors import BadDataset, MorphFailed
from router.model.instance import RETRIEVED, Source
from router.model.path import Path
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.recipe import NOTHING, Recipe
from router.morph.apply import compile_recipe
from router.morph.context import EXAMPLE_KEY, MorphContext

MAX_HEADER_BYTES: Final = 16 * 1024 * 1024
_STRETCH_BYTES: Final = 256 * 1024


def receive_recipe(plan: Plan, source: Source) -> Recipe:
    """What is done to everything that comes from this source, before the rules see it."""
    station = plan.stations.get(source.station) if source.station else None
    if station is None:
        return NOTHING
    hooks = station.hooks
    return hooks.retrieve_response if source.listener == RETRIEVED else hooks.receive


class Tape:
    """A copy of the first bytes of a data set, taken while they pass.

    Of more than MAX_HEADER_BYTES the rest is not kept. That is no harm while it is the inside of one
    value, such as a document: only to read an element there raises BadDataset.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._length = 0

    def passing(self, chunks: Iterator[memoryview]) -> Iterator[memoryview]:
        """The chunks, untouched."""
        for view in chunks:
            self._length += len(view)
            self._octets += view[: max(0, MAX_HEADER_BYTES - len(self._octets))]
            yield view

    def read(self, offset: int, length: int) -> bytes:
        """As RandomAccess, of what is kept."""
        if len(self._octets) <= offset < self._length:
            raise BadDataset(f"the header is longer than {MAX_HEADER_BYTES >> 20} MiB")
        return bytes(self._octets[offset : offset + length])


class ReceiveHooks:
    """Applies the receive hooks of stations. Shared by threads; `mapping_key` as in MorphContext."""

    def __init__(self, morphs: Mapping[str, Morph], mapping_key: bytes = EXAMPLE_KEY) -> None:
        self._mapping_key = mapping_key
        self._compiled = lru_cache(maxsize=256)(partial(compile_recipe, morphs=morphs))

    def header(
        self,
        plan: Plan,
        source: Source,
        received_at: float,
        transfer_syntax_uid: str,
        octets: tuple[RandomAccess, int],
    ) -> HeaderReader:
        """The header as the rules see it, read anew by the reader of arriving ones.

        `octets` may end where Pixel Data begin. Raises MorphFailed when a step fails, or what it
        wrote is no data set; BadDataset when deflated bytes are none.
        """
        return self.seen(
            receive_recipe(plan, source),
            plan.needs,
            self.context(plan, source, received_at),
            (transfer_syntax_uid, assumed_character_set(plan, source)),
            octets,
        )

    def context(self, plan: Plan, source: Source, received_at: float) -> MorphContext:
        """What recipes may know, the key of mappings included."""
        return context_of(plan, source, received_at, self._mapping_key)

    def seen(
        self,
        receive: Recipe,
        wanted: Collection[Path],
        context: MorphContext,
        coding: tuple[str, str],
        octets: tuple[RandomAccess, int],
    ) -> HeaderReader:
        """As `header`, of a recipe that is known; `coding`: transfer syntax, assumed characters."""
        transfer_syntax_uid, character_set = coding
        read, length = plain(octets, transfer_syntax_uid)
        if layout_of(transfer_syntax_uid).deflated:
            transfer_syntax_uid = EXPLICIT_VR_LITTLE_ENDIAN
        data_set = EditableDataSet(
            read, length, transfer_syntax_uid, default_character_set=character_set
        )
        self._compiled(receive)(data_set, context)
        reader = HeaderReader(transfer_syntax_uid, wanted, default_character_set=character_set)
        try:
            for stretch in _stretches(data_set.pieces(), read):
                reader.feed(stretch)
            reader.finish()
        except BadDataset as error:
            raise MorphFailed(f"what is made of the header cannot be read: {error}") from None
        return reader


def _stretches(pieces: Iterable[Piece], read: RandomAccess) -> Iterator[bytes]:
    """The bytes of the pieces; zeros for those of a value's inside that were not kept."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        at = piece.start
        while at < piece.end:
            size = min(_STRETCH_BYTES, piece.end - at)
            try:
                found = read(at, size)
            except BadDataset:
                found = b""
            yield found + bytes(size - len(found))
            at += size


def context_of(plan: Plan, source: Source, received_at: float, mapping_key: bytes) -> MorphContext:
    """What recipes may know of an instance and of us."""
    return MorphContext(
        source=source,
        received_at=received_at,
        router_name=plan.router.name,
        organization=plan.router.organization,
        mapping_key=mapping_key,
    )


def assumed_character_set(plan: Plan, source: Source) -> str:
    """The character set assumed of objects from this source that declare none."""
    station = plan.stations.get(source.station) if source.station else None
    return station.character_set if station else ""


def plain(octets: tuple[RandomAccess, int], transfer_syntax_uid: str) -> tuple[RandomAccess, int]:
    """A reader of the bytes and their number; deflated ones are read inflated, bounded.

    Raises BadDataset when deflated bytes are none.
    """
    if not layout_of(transfer_syntax_uid).deflated:
        return octets
    access = InflatedAccess(*octets)
    return access, access.measure()
