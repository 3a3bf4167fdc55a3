"""Received: what the receive hook of a station makes of what comes from it, for the rules to see.

Rules are asked about the object as the hook leaves it; what is kept is the object as it came, and
the hook's steps stand first in the recipe of every delivery. The steps run over a copy of the
header, taken while it passes and bounded; stations without a hook cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import RandomAccess
from router.dicom.inflate import InflatedAccess
from router.dicom.transfer_syntax import layout_of
from router.errors import MorphFailed
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.recipe import NOTHING, Recipe
from router.morph.apply import compile_recipe
from router.morph.context import EXAMPLE_KEY, MorphContext

MAX_HEADER_BYTES: Final = 16 * 1024 * 1024


def receive_recipe(plan: Plan, source: Source) -> Recipe:
    """What is done to everything that comes from this source, before the rules see it."""
    station = plan.stations.get(source.station) if source.station else None
    return station.hooks.receive if station else NOTHING


class Tape:
    """A copy of the first bytes of a data set, taken while they pass."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def passing(self, chunks: Iterator[memoryview]) -> Iterator[memoryview]:
        """The chunks, untouched."""
        for view in chunks:
            room = MAX_HEADER_BYTES - len(self._octets)
            if room > 0:
                self._octets += view[:room]
            yield view

    def access(self, needed: int) -> RandomAccess:
        """A reader of the first `needed` bytes. Raises MorphFailed when there were too many."""
        if needed > len(self._octets):
            raise MorphFailed(
                f"the header is longer than the {MAX_HEADER_BYTES >> 20} MiB a receive hook takes"
            )
        octets = bytes(self._octets[:needed])
        return lambda offset, length: octets[offset : offset + length]


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
    ) -> EditableDataSet:
        """The header as the rules see it; `octets` may end where Pixel Data begin.

        Raises MorphFailed when a step fails, BadDataset when deflated bytes are none.
        """
        data_set = EditableDataSet(
            *plain(octets, transfer_syntax_uid),
            transfer_syntax_uid,
            default_character_set=assumed_character_set(plan, source),
        )
        context = context_of(plan, source, received_at, self._mapping_key)
        self._compiled(receive_recipe(plan, source))(data_set, context)
        return data_set


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
