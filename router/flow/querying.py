"""Querying: the hooks of a station on what is asked of it and on what it answers.

Keys and answers are small data sets; the steps of a hook change them as they would change an object.
What a hook fails on is neither sent nor shown: MorphFailed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from router.dicom.charset import UTF_8
from router.dicom.dataset import EditableDataSet
from router.dicom.identifier import decode_identifier, encode_identifier
from router.dicom.streams import stream
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.dicom.values import ValueProblem
from router.errors import MorphFailed
from router.flow.received import context_of
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.query import Identifier, Query
from router.model.recipe import Recipe
from router.model.station import Station
from router.morph.apply import compile_recipe
from router.morph.context import MorphContext
from router.plugs import morphs_by_name

Change = Callable[[Identifier], Identifier]


def identifier_hook(recipe: Recipe, morphs: Mapping[str, Morph], context: MorphContext) -> Change:
    """The recipe as a change of identifiers. It raises MorphFailed when a step fails."""
    if recipe.is_empty:
        return lambda identifier: identifier
    edit = compile_recipe(recipe, morphs)

    def change(identifier: Identifier) -> Identifier:
        try:
            octets = encode_identifier(identifier, EXPLICIT_VR_LITTLE_ENDIAN)
        except ValueProblem as problem:
            raise MorphFailed(f"the identifier cannot be encoded: {problem}") from None

        def read(offset: int, length: int) -> bytes:
            return octets[offset : offset + length]

        data_set = EditableDataSet(
            read, len(octets), EXPLICIT_VR_LITTLE_ENDIAN, default_character_set=UTF_8
        )
        edit(data_set, context)
        after = b"".join(stream(data_set.pieces(), read))
        return decode_identifier(after, EXPLICIT_VR_LITTLE_ENDIAN, UTF_8)

    return change


def asked(query: Query, change: Change) -> Query:
    """The query as it goes to the station."""
    return replace(query, keys=change(query.keys))


def search_hooks(
    plan: Plan, station: Station, mapping_key: bytes, at: float
) -> tuple[Change, Change]:
    """What is done to the keys we send to a station, and to the answers that come."""
    context = _context(plan, station, mapping_key, at)
    known = morphs_by_name()
    return (
        identifier_hook(station.hooks.find_request, known, context),
        identifier_hook(station.hooks.find_response, known, context),
    )


def retrieve_hook(plan: Plan, station: Station, mapping_key: bytes, at: float) -> Change:
    """What is done to the keys of what we retrieve from a station."""
    context = _context(plan, station, mapping_key, at)
    return identifier_hook(station.hooks.retrieve_request, morphs_by_name(), context)


def _context(plan: Plan, station: Station, mapping_key: bytes, at: float) -> MorphContext:
    source = Source("find", "", plan.router.ae_title, station.host, station.name)
    return context_of(plan, source, at, mapping_key)
