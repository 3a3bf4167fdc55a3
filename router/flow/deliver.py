"""Deliver: from a lease to a parcel a peer can send: open the record, apply the recipe, splice.

The record's bytes are never changed: a recipe makes a new header, and the bytes behind it stream
from the journal to the socket. A recipe that fails, or a record that is damaged, sends nothing
(P4, P13): the parcel raises MorphFailed and the delivery is quarantined.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from router.dicom.dataset import EditableDataSet
from router.dicom.outgoing import OutgoingDataSet, can_convert, prepare
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.uid_names import shown_uid
from router.errors import MorphFailed, RouterError, Undeliverable
from router.flow.bandwidth import Bandwidth
from router.model.delivery import Leased
from router.model.instance import Instance
from router.model.plug import Morph
from router.model.recipe import NO_CHANGE
from router.morph.apply import MorphContext, compile_recipe
from router.peers.peer import Parcel, may_leave_in
from router.pixels.codecs import Codecs
from router.pixels.syntaxes import obstacle
from router.pixels.transcoding import transcoded
from router.store.envelope import decode_instance
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.records import Record, RecordDamaged

Edit = Callable[[EditableDataSet, MorphContext], None]
MAX_COMPILED = 1000
_UNBOUNDED: Final[Mapping[str, Bandwidth]] = {}


@dataclass(frozen=True, slots=True)
class RouterNames:
    """What recipes may know of the router itself: names for templates, the key of mappings."""

    name: str
    organization: str
    mapping_key: bytes = field(default=b"", repr=False)


class _Compiled(NamedTuple):
    """A recipe, ready for use."""

    apply: Edit
    transfer_syntax_uid: str


class Courier:
    """Makes parcels of leases. Shared by all lanes of a process."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        morphs: Mapping[str, Morph],
        names: RouterNames,
        codecs: Codecs,
        bandwidths: Mapping[str, Bandwidth] = _UNBOUNDED,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._morphs = morphs
        self._names = names
        self._codecs = codecs
        self._bandwidths = bandwidths
        self._compiled: dict[str, _Compiled] = {}
        self._lock = threading.Lock()

    @contextmanager
    def parcels(self, batch: Sequence[Leased]) -> Iterator[list[Parcel]]:
        """Parcels of a batch; their records are closed when the batch is over."""
        with ExitStack() as open_records:
            yield [
                Parcel(
                    leased, partial(self._outgoing, leased, open_records), self._syntaxes(leased)
                )
                for leased in batch
            ]

    def _syntaxes(self, leased: Leased) -> tuple[str, ...]:
        """What it may leave in. Whoever asked for it by C-MOVE gets it decoded where need be."""
        declared = ""
        if leased.recipe_digest != NO_CHANGE:
            with suppress(MorphFailed):  # it is told when it is to leave
                declared = self._recipe(leased.recipe_digest).transfer_syntax_uid
        stored = leased.transfer_syntax_uid
        is_asked_for = leased.move_originator is not None
        is_decoded = is_asked_for and not obstacle(stored, EXPLICIT_VR_LITTLE_ENDIAN)
        return may_leave_in(stored, declared, is_decoded=is_decoded)

    def _outgoing(
        self, leased: Leased, open_records: ExitStack, transfer_syntax_uid: str | None
    ) -> OutgoingDataSet:
        """What leaves for this delivery, in the asked transfer syntax (None: the first it may).

        Raises MorphFailed when the recipe or the record is no good, Undeliverable when the data
        set cannot be converted.
        """
        try:
            record = self._journal.open(leased.record)
            open_records.callback(record.close)
            edit, character_set, target = self._edit(leased, record, transfer_syntax_uid)
        except RecordDamaged as error:
            raise MorphFailed(f"the stored record is damaged, nothing was sent: {error}") from error
        stored = leased.transfer_syntax_uid
        facts = (leased.sop_class_uid, leased.sop_instance_uid, leased.study_instance_uid)
        if can_convert(stored, target):
            outgoing = prepare(
                record.read,
                record.length,
                stored,
                target,
                edit,
                facts,
                default_character_set=character_set,
                views=record.chunks,
            )
        else:
            outgoing = transcoded(
                record.read,
                record.length,
                (stored, target),
                edit,
                facts,
                self._codecs,
                default_character_set=character_set,
            )
        bandwidth = self._bandwidths.get(leased.station)
        return outgoing if bandwidth is None else bandwidth.spread(outgoing)

    def _edit(
        self, leased: Leased, record: Record, asked_uid: str | None
    ) -> tuple[Callable[[EditableDataSet], None] | None, str, str]:
        """The recipe as an edit, the character set assumed when it was accepted, and what to send in."""
        if leased.recipe_digest == NO_CHANGE:
            return None, "", asked_uid or leased.transfer_syntax_uid
        apply, declared = self._recipe(leased.recipe_digest)
        instance = decode_instance(record.envelope())
        target = _target(leased, instance, declared, asked_uid)
        context = MorphContext(
            source=instance.source,
            received_at=instance.received_at,
            router_name=self._names.name,
            organization=self._names.organization,
            mapping_key=self._names.mapping_key,
        )
        return partial(_applied, apply, context), instance.assumed_character_set, target

    def _recipe(self, digest: str) -> _Compiled:
        with self._lock:
            known = self._compiled.get(digest)
        if known is not None:
            return known
        try:
            recipe = self._ledger.recipe(digest)
        except KeyError:
            raise MorphFailed("the recipe of this delivery is not in the ledger") from None
        compiled = _Compiled(compile_recipe(recipe, self._morphs), recipe.transfer_syntax_uid)
        with self._lock:
            if len(self._compiled) >= MAX_COMPILED:
                self._compiled.clear()
            self._compiled[digest] = compiled
        return compiled


def _target(leased: Leased, instance: Instance, declared_uid: str, asked_uid: str | None) -> str:
    """The transfer syntax of what leaves. Raises Undeliverable where the declared one is not taken."""
    target = asked_uid or declared_uid or leased.transfer_syntax_uid
    if not declared_uid or not layout_of(declared_uid).encapsulated:
        return target
    is_deflated = layout_of(leased.transfer_syntax_uid).deflated
    if not is_deflated and instance.data_set_length <= instance.header_length:
        return EXPLICIT_VR_LITTLE_ENDIAN if target == declared_uid else target
    if target != declared_uid and leased.delivery_id:
        raise Undeliverable(
            f"it is to leave in {shown_uid(declared_uid)}, as transfer_syntax says, "
            "and the station does not accept that"
        )
    return target


def _applied(apply: Edit, context: MorphContext, data_set: EditableDataSet) -> None:
    """Apply a recipe. A bug of a step, which may be an installed plug, is this object's alone.

    Left to escape it would end the try of all that leave with this one, again and again.
    """
    try:
        apply(data_set, context)
    except RouterError:
        raise
    except Exception as error:  # noqa: BLE001 - plug boundary: one object's fault must not end others
        raise MorphFailed(f"a step of the recipe failed: {type(error).__name__}") from None
