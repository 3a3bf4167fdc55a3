"""The escrow copy of the keys: one file that a passphrase opens (scrypt, AES-256-GCM).

It holds the key ring and the mapping key, and whoever has it and the passphrase can read every record.
`opened` takes files from anywhere: bounded in memory, and nothing is believed before it opens.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from router.store.keys import KEY_BYTES, Ring, opened_alone, ring_json, ring_of, sealed_alone
from router.store.records import RecordDamaged

MOST_BYTES: Final = 4 * 1024 * 1024
FEWEST_CHARACTERS: Final = 12
_VERSION: Final = 1
_COST, _MOST_COST, _BLOCK, _PARALLEL = 2**17, 2**18, 8, 1
_BOUND_TO: Final = b"dicom-router keys 1"


@dataclass(frozen=True, slots=True)
class Escrow:
    """What a copy holds; `mapping_key` is b'' where the installation had none of its own."""

    ring: Ring
    mapping_key: bytes


def sealed(escrow: Escrow, passphrase: str, cost: int = _COST) -> bytes:
    """The file."""
    salt = os.urandom(16)
    plain = {
        "ring": ring_json(escrow.ring),
        "mapping_key": base64.b64encode(escrow.mapping_key).decode(),
    }
    octets = sealed_alone(_key(passphrase, salt, cost), json.dumps(plain).encode(), _BOUND_TO)
    value = {
        "dicom_router_keys": _VERSION,
        "scrypt": {"n": cost, "salt": base64.b64encode(salt).decode()},
        "sealed": base64.b64encode(octets).decode(),
    }
    return json.dumps(value, indent=1).encode() + b"\n"


def opened(octets: bytes, passphrase: str) -> Escrow:
    """What the file holds. Raises ValueError for what is none, RecordDamaged for a wrong passphrase."""
    try:
        value = json.loads(octets)
        version, cost = value["dicom_router_keys"], value["scrypt"]["n"]
        salt = base64.b64decode(value["scrypt"]["salt"], validate=True)
        text = base64.b64decode(value["sealed"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("this is no escrow copy of keys") from None
    if version != _VERSION:
        raise ValueError(f"the escrow copy is of version {version!r}, this reads {_VERSION}")
    is_cost = isinstance(cost, int) and 1 < cost <= _MOST_COST and cost & (cost - 1) == 0
    if not is_cost:
        raise ValueError("the escrow copy asks for more work than any of ours")
    try:
        plain = json.loads(opened_alone(_key(passphrase, salt, cost), text, _BOUND_TO))
    except RecordDamaged:
        raise RecordDamaged("the passphrase is another one, or the file is damaged") from None
    return Escrow(ring_of(plain["ring"]), base64.b64decode(plain["mapping_key"]))


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=cost, r=_BLOCK, p=_PARALLEL)
    return kdf.derive(passphrase.encode("utf-8", "surrogatepass"))
