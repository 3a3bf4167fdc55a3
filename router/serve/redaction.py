"""Taking out of texts who patients are, and what is secret, so that a stranger may read the rest.

Masked are the names and numbers of patients held here, secrets the configuration refers to, tokens,
passwords in addresses, literals of attributes that identify someone (PS3.15 E.1), and UIDs. A UID
becomes the same short word everywhere in one bundle, and another in the next.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from router.dicom.tags import tag_for
from router.errors import RouterError
from router.model.catalogue import ORIGINAL_PATIENT_ID, Attributes
from router.model.plan import Plan
from router.morph.confidentiality import table
from router.serve.examine_secrets import secrets_of
from router.serve.places import Places
from router.serve.secrets import read_secret
from router.store.catalogue import FOLLOW_ROWS, unsealed
from router.store.keys import RING_NAME, KeyRing
from router.store.ledger import Ledger
from router.store.records import RecordDamaged
from router.telemetry.log import FORBIDDEN_FIELDS

MASK: Final = "…"
# Of the patient and the order: names, numbers, physicians.
_IDENTIFYING: Final = (
    0x00100010, 0x00100020, 0x00101000, 0x00101001, 0x00080050, 0x00080090, 0x00081060, 0x00081050,
    0x00081070, 0x00200010, ORIGINAL_PATIENT_ID,
)  # fmt: skip
# Fields in which peers, or the configuration's own lines, speak.
_PEERS_WORDS: Final = frozenset({"answer", "message", "reason", "last_error", "comment", "why"})
_SOURCE_LINES: Final = frozenset({"problem", "problems"})
_PLACE: Final = re.compile(r"^\S+:\d+:\d+: (?:error|warning) DR\d{3}", re.MULTILINE)
_UID: Final = re.compile(r"(?<![\w.])[0-2](?:\.\d+){4,}(?![\w.]*\w)")
_OF_THE_STANDARD: Final = "1.2.840.10008."
_USER_OF_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_TOKEN: Final = re.compile(r"\bdrt_\d+_[\w-]+|(?<=Bearer )\S+")
_WORD: Final = re.compile(r"\w+(?:[-.^=@']+\w+)*")
_PART: Final = re.compile(r"\w+")
# What is shorter stands everywhere by chance: a letter, a count.
_SHORTEST: Final = 2
_SHORTEST_NUMBER: Final = 4


class Redaction:
    """What is masked in one bundle. `knows_patients` is false where not all can be known."""

    def __init__(
        self, known: Iterable[str], secrets: Iterable[str], *, knows_patients: bool = True
    ) -> None:
        self._words = frozenset(word for text in known for word in _words_of(text))
        # The longest first: one secret may begin with another.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._knows_patients = knows_patients
        self._salt = os.urandom(16)

    def text(self, text: str) -> str:
        """The text with everything masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _TOKEN.sub(MASK, _USER_OF_URL.sub(MASK, text))
        text = _UID.sub(self._uid, text)
        return _WORD.sub(self._word, text) if self._words else text

    def value(self, value: Any) -> Any:
        """The same of every text in a document of JSON, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._field(str(key), one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def _field(self, name: str, value: Any) -> Any:
        if name in FORBIDDEN_FIELDS:
            return MASK
        if name in _SOURCE_LINES and isinstance(value, str):
            return _PLACE.findall(value)
        if name in _PEERS_WORDS and isinstance(value, str) and not self._knows_patients:
            return MASK if value else ""
        return self.value(value)

    def _uid(self, match: re.Match[str]) -> str:
        uid = match.group()
        if uid.startswith(_OF_THE_STANDARD):
            return uid
        return f"uid-{hashlib.sha256(self._salt + uid.encode()).hexdigest()[:10]}"

    def _word(self, match: re.Match[str]) -> str:
        word = match.group()
        if word.casefold() in self._words:
            return MASK
        return _PART.sub(
            lambda part: MASK if part.group().casefold() in self._words else part.group(), word
        )


def _words_of(text: str) -> Iterable[str]:
    """The whole, and each part that is long enough not to stand everywhere by chance."""
    folded = text.casefold().strip()
    for word in (folded, *_PART.findall(folded)):
        shortest = _SHORTEST_NUMBER if word.isdecimal() else _SHORTEST
        if len(word) >= (shortest if word.isascii() else 1):
            yield word


def redaction(plan: Plan, ledger: Ledger | None) -> Redaction:
    """What has to be masked of this installation, as far as this user can read it."""
    secrets = []
    for secret in secrets_of(plan).values():
        with suppress(RouterError):
            secrets.append(read_secret(secret, plan.folder))
    places = Places(plan.router.data_dir)
    if ledger is None:
        return Redaction((), secrets, knows_patients=not places.ledger.exists())
    if not os.access(places.keys / RING_NAME, os.R_OK):
        return Redaction((), secrets, knows_patients=False)
    known: set[str] = set()
    try:
        # Who came in the last second is not in the catalogue yet.
        knows_patients = ledger.unlisted(1) is None
        for one in _held(ledger, KeyRing.open(places.keys)):
            known.update(text for tag in _IDENTIFYING if (text := one.get(tag)))
    except RouterError:
        knows_patients = False
    return Redaction(known, secrets, knows_patients=knows_patients)


def _held(ledger: Ledger, keys: KeyRing) -> Iterable[Attributes]:
    behind = 0
    while rows := ledger.catalogue_after(behind, FOLLOW_ROWS):
        behind = rows[-1].entry_id
        for row in rows:
            if row.sealed is not None:
                with suppress(RecordDamaged):
                    yield unsealed(row, keys)


def without_literals(value: Any, *, is_hidden: bool = False) -> Any:
    """A part of the configuration without what it has written for attributes that identify.

    What a rule waits for, or a step sets, may be somebody's name or number.
    """
    if isinstance(value, dict):
        about = is_hidden or identifies(str(value.get("tag", "")))
        return {
            key: one
            if key == "tag"
            else without_literals(one, is_hidden=about or identifies(str(key)))
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [without_literals(one, is_hidden=is_hidden) for one in value]
    return MASK if is_hidden and not isinstance(value, bool) and value is not None else value


def identifies(path: str) -> bool:
    """Whether the attribute a path ends in says who somebody is; numbers and private ones may."""
    last = path.rpartition(".")[2].partition("[")[0]
    if "," in path:
        return True
    tag = tag_for(last) if last[:1].isupper() else None
    return tag is not None and table().row(tag) is not None
