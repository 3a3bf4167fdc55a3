"""Held: reading the headers of what is here, as what comes from its station is to be seen.

What the receive hook of its station does to an object is done here too: nobody is told of an object
other than it would be handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from router.dicom.header import HeaderReader
from router.dicom.tags import keyword_for
from router.dicom.values import BULK_VRS
from router.errors import BadDataset
from router.flow.received import ReceiveHooks, receive_recipe
from router.match.facts import Header
from router.model.catalogue import MAX_TEXT_LENGTH
from router.model.path import Path, PathStep
from router.model.plan import Plan
from router.store.envelope import decode_instance
from router.store.ledger import Stored
from router.store.records import Journal

MAX_HEADER_BYTES: Final = 16 * 1024 * 1024


class HeldHeaders:
    """Reads attributes of held instances. Shared by threads."""

    def __init__(self, plan: Callable[[], Plan], journal: Journal, hooks: ReceiveHooks) -> None:
        self._plan = plan
        self._journal = journal
        self._hooks = hooks

    def attributes(self, held: Stored, tags: Collection[int]) -> dict[int, str]:
        """The text of these attributes, where they have values that are text or numbers.

        Raises RecordDamaged when the record is gone or damaged, BadDataset when its header cannot
        be read, MorphFailed when the receive hook fails, StoreDown.
        """
        paths = {tag: Path((PathStep(tag),), keyword_for(tag) or f"{tag:08X}") for tag in tags}
        header = self._header(held, paths.values())
        found: dict[int, str] = {}
        for tag, path in paths.items():
            attribute = header.get(path)
            if attribute is None or attribute.vr in BULK_VRS:
                continue
            text = "\\".join(str(value).strip(" \0") for value in attribute.values)
            if text and len(text) <= MAX_TEXT_LENGTH:
                found[tag] = text
        return found

    def _header(self, held: Stored, wanted: Collection[Path]) -> Header:
        if held.record is None:
            raise BadDataset("its bytes are no longer here")
        record = self._journal.open(held.record)
        try:
            instance = decode_instance(record.envelope())
            length = min(instance.header_length, MAX_HEADER_BYTES)
            plan, syntax = self._plan(), instance.transfer_syntax_uid
            if not receive_recipe(plan, instance.source).is_empty:
                octets = record.read(0, length)
                return self._hooks.header(
                    plan,
                    instance.source,
                    instance.received_at,
                    syntax,
                    (lambda offset, size: octets[offset : offset + size], len(octets)),
                )
            reader = HeaderReader(
                syntax, wanted, default_character_set=instance.assumed_character_set
            )
            for chunk in record.chunks(0, length):
                reader.feed(chunk)
            return reader
        finally:
            record.close()
