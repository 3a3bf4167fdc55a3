"""Fuzzed PDUs, A-ASSOCIATE bodies and command sets raise ProtocolError or nothing (T1, T3, M26)."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dimse import command, negotiate, pdu
from router.errors import ProtocolError
from tests.property.test_dimse_chunking import events
from tests.support.dimse_provider import associate_rq, echo_rq, p_data, pdv, store_rq

SEEDS = {
    "request": associate_rq()[6:],
    "accept": pdu.encode_accept(
        pdu.decode_request(associate_rq()[6:]),
        (
            pdu.AnsweredContext(1, 0, "1.2.840.10008.1.2"),
            pdu.AnsweredContext(3, 3, "1.2.840.10008.1.2"),
        ),
        16384,
    )[6:],
    "command": store_rq(),
    "messages": p_data(pdv(3, store_rq()[:-5] + b"+", command=True), pdv(3, bytes(500)))
    + p_data(pdv(1, echo_rq(), command=True))
    + bytes.fromhex("07000000000400000000"),
}


def take_request(data: bytes) -> None:
    request = pdu.decode_request(data)
    answers = tuple(negotiate.answer(context) for context in request.contexts)
    negotiate.objection(request)
    pdu.encode_accept(request, answers, 16384)


def take_command(data: bytes) -> None:
    parsed = command.parse(data)
    parsed.text(command.ERROR_COMMENT)
    parsed.uid(command.AFFECTED_SOP_CLASS_UID)
    _ = parsed.field, parsed.message_id, parsed.announces_data_set


TARGETS = {
    "request": take_request,
    "accept": pdu.decode_accept,
    "command": take_command,
    "messages": lambda data: events(data, []),
}


def mutate(seed: bytes, random_source: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(random_source.randint(1, 6)):
        at = random_source.randrange(len(data)) if data else 0
        choice = random_source.random()
        if choice < 0.5 and data:
            data[at] = random_source.choice(
                (0, 1, 2, 0x20, 0x50, 0x7F, 0x80, 0xFF, random_source.randrange(256))
            )
        elif choice < 0.65:
            del data[at : at + random_source.randint(1, 40)]
        elif choice < 0.8:
            data[at:at] = random_source.randbytes(random_source.randint(1, 20))
        else:
            other = random_source.randrange(len(data)) if data else 0
            data[at:at] = data[other : other + random_source.randint(1, 80)]
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_bytes_raise_typed_errors_only(target):
    random_source = random.Random(f"dimse {target}")
    until = time.monotonic() + 3.0
    for _ in range(20_000):
        if time.monotonic() > until:
            break
        data = mutate(SEEDS[target], random_source)
        began = time.perf_counter()
        try:
            TARGETS[target](data)
        except ProtocolError:
            pass
        assert time.perf_counter() - began < 5


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=400))
def test_random_bytes_raise_typed_errors_only(target, data):
    try:
        TARGETS[target](data)
    except ProtocolError:
        pass


def test_the_seeds_themselves_pass():
    for target, seed in SEEDS.items():
        TARGETS[target](seed)
