"""What is accepted of what is proposed: every order of syntaxes, every registered SOP class."""

from __future__ import annotations

import itertools

import pytest
from pydicom._uid_dict import UID_dictionary

from router.dimse import negotiate, pdu

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
JPIP_DEFLATED = "1.2.840.10008.1.2.4.95"
PRIVATE, GE_PRIVATE = "1.3.6.1.4.1.5962.300.2", "1.2.840.113619.5.2"
VERIFICATION, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
# The order of the house, and what it leaves undecided goes by the peer's own order.
PREFERENCE = [{EXPLICIT}, {JPEG, RLE}, {IMPLICIT}, {BIG}, {DEFLATED, JPIP_DEFLATED}]
PREFERENCE += [{PRIVATE, GE_PRIVATE}]


def expected(offered: tuple[str, ...]) -> str | None:
    """The same choice, taken down the list instead of by rank."""
    for group in PREFERENCE:
        for uid in offered:
            if uid in group:
                return uid
    return None


def test_the_choice_among_every_order_of_up_to_three_syntaxes_and_all_of_them():
    every = [EXPLICIT, JPEG, RLE, IMPLICIT, BIG, DEFLATED, JPIP_DEFLATED, PRIVATE, GE_PRIVATE]
    combinations = [
        offered for size in range(4) for offered in itertools.permutations(every, size)
    ] + [tuple(every), tuple(reversed(every))]
    wrong = [
        offered
        for offered in combinations
        if negotiate.choose_transfer_syntax(offered) != expected(offered)
    ]
    assert wrong == []
    assert len(combinations) == 1 + 9 + 72 + 504 + 2


def test_what_is_chosen_was_offered_also_when_it_was_offered_twice():
    assert negotiate.choose_transfer_syntax([IMPLICIT, IMPLICIT]) == IMPLICIT
    assert negotiate.choose_transfer_syntax([""]) is None
    # Registered after this version: taken as compressed, its bytes pass through.
    assert negotiate.choose_transfer_syntax([IMPLICIT, "1.2.840.10008.1.2.4.999"]) == (
        "1.2.840.10008.1.2.4.999"
    )


# Their names say storage, or they have none, but nobody stores by them: media directories,
# commitment, and what was retired together with its print and trial services.
NAMED_STORAGE_BUT_NONE = {
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.1.20.1",
    "1.2.840.10008.1.20.2",
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",
    "1.2.840.10008.5.1.4.34.1",
}
NAMELESS_STORAGE = {"1.2.840.10008.5.1.4.1.1.12.77", "1.2.840.10008.5.1.4.1.1.40"}


def test_every_registered_class_is_taken_if_and_only_if_its_name_says_storage():
    seen = {True: 0, False: 0}
    for uid, (name, kind, *_) in UID_dictionary.items():
        if kind not in {"SOP Class", "Meta SOP Class"}:
            continue
        storage = "Storage" in name and uid not in NAMED_STORAGE_BUT_NONE
        storage = storage or uid in NAMELESS_STORAGE
        wanted = 0 if storage or uid == VERIFICATION else 3
        assert negotiate.answer(pdu.ProposedContext(1, uid, (EXPLICIT,))).result == wanted, name
        assert negotiate.is_storage(uid) is storage, name
        seen[storage] += 1
    assert seen[True] > 170
    assert seen[False] > 100


@pytest.mark.parametrize(
    ("uid", "taken"),
    [
        # A vendor's own class is an image that must not be lost.
        ("1.2.840.113619.4.26", True),
        ("1.3.12.2.1107.5.9.1", True),
        ("2.25.123", True),
        # Later editions register storage classes below this root, other services elsewhere.
        ("1.2.840.10008.5.1.4.1.1.4321", True),
        ("1.2.840.10008.5.1.4.1.2.9.9", False),
        ("1.2.840.10008.77", False),
        # Transfer syntaxes and well-known instances are no classes.
        (EXPLICIT, False),
        ("1.2.840.10008.1.20.1.1", False),
        ("", False),
    ],
)
def test_what_is_not_registered(uid, taken):
    assert negotiate.is_storage(uid) is taken


@pytest.mark.parametrize(
    ("uid", "offered", "result", "syntax"),
    [
        (CT, (IMPLICIT, EXPLICIT), 0, EXPLICIT),
        (CT, (), 4, IMPLICIT),
        (CT, ("",), 4, IMPLICIT),
        # Both are wrong: the class is named, since no other syntax would help.
        ("1.2.840.10008.5.1.4.31", (), 3, IMPLICIT),
        ("1.2.840.10008.5.1.4.31", (JPEG,), 3, JPEG),
        (VERIFICATION, (IMPLICIT,), 0, IMPLICIT),
        (VERIFICATION, (), 4, IMPLICIT),
    ],
)
def test_result_and_syntax_of_an_answer(uid, offered, result, syntax):
    # PS3.8 9.3.3.2: a syntax stands in every answer, significant or not.
    found = negotiate.answer(pdu.ProposedContext(7, uid, offered))
    assert found == pdu.AnsweredContext(7, result, syntax, uid)


@pytest.mark.parametrize(
    ("version", "application", "fields"),
    [
        (1, pdu.APPLICATION_CONTEXT_NAME, None),
        (3, pdu.APPLICATION_CONTEXT_NAME, None),
        (0xFFFF, pdu.APPLICATION_CONTEXT_NAME, None),
        (0, pdu.APPLICATION_CONTEXT_NAME, (1, 2, 2)),
        (2, pdu.APPLICATION_CONTEXT_NAME, (1, 2, 2)),
        (1, "1.2.840.10008.3.1.1.2", (1, 1, 2)),
        (1, "", (1, 1, 2)),
        # The version decides whether the rest can be understood at all.
        (2, "", (1, 2, 2)),
    ],
)
def test_objections_to_the_whole_request(version, application, fields):
    # Bit 0 is the version we speak; other bits are versions the peer speaks besides (PS3.8 9.3.2).
    request = pdu.AssociateRequest(version, application, "ROUTER", "CT1", ())
    assert negotiate.objection(request) == fields
