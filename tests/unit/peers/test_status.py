"""The table that reads a station's C-STORE answers: total, and each row of the specification."""

from __future__ import annotations

import pytest

from router.errors import (
    BadDataset,
    Busy,
    ConfigError,
    DeliveryError,
    MorphFailed,
    ProtocolError,
    Refused,
    Rejected,
    RouterError,
    StoreDown,
    StoreFull,
    Undeliverable,
    Unreachable,
)
from router.model.delivery import Outcome, Result
from router.peers.peer import failure_outcome
from router.peers.status import attempt_limit, dimse_answer, dimse_outcome, within_limit

D, R, B, H, X = Result.DELIVERED, Result.RETRY, Result.BUSY, Result.HOLD, Result.DEAD


def _expected(status: int) -> Result:
    """Protocols 6.2 and reliability 8.6 once more, written the other way round: by range."""
    if status in (0x0000, 0x0001, 0x0107, 0x0111, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return D
    if 0xA700 <= status <= 0xA7FF:
        return B
    if status == 0x0124:
        return H
    if status in (0x0105, 0x0106, 0x0115, 0x0117, 0x0119, 0x0120, 0x0121, 0x0122):
        return X
    if 0xA900 <= status <= 0xA9FF or (0xC000 <= status <= 0xCFFF and status != 0xC211):
        return X
    return R


def test_F15_each_of_65536_statuses_has_exactly_one_result() -> None:
    wrong = [f"{s:04X}" for s in range(0x10000) if dimse_outcome(s) is not _expected(s)]
    assert wrong == []


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0xA770, D),
        (0xA771, X),
        (0xA773, X),
        (0xA774, D),
        (0xA775, X),
        (0xA779, X),
        (0xA77A, R),
        (0xA77B, X),
        (0xA77C, B),
        (0xA76F, B),
    ],
)
def test_F15_dcm4chee_means_the_object_where_others_mean_room(status: int, result: Result) -> None:
    assert dimse_outcome(status, "dcm4chee") is result
    assert dimse_outcome(status, "generic") is B


def test_F15_an_answer_without_status_is_retried() -> None:
    assert dimse_outcome(None) is R
    assert dimse_answer(7, None) == Outcome(7, R, "answered without a status", None)


def test_F15_every_retry_ends_by_attempts_or_by_age() -> None:
    for status in range(0x10000):
        limit = attempt_limit(status)
        assert limit is None or 1 <= limit <= 8
    assert attempt_limit(0x0110) == 5
    assert attempt_limit(0x0110, "dicomweb") == 8
    assert attempt_limit(0xC211) == 5
    assert attempt_limit(0x0999) == 3
    assert attempt_limit(None) is None
    assert attempt_limit(503) == attempt_limit(0x01F7) == 3
    assert attempt_limit(500) is None


def test_a_retry_beyond_its_limit_is_dead_and_nothing_else_is_touched() -> None:
    retry = Outcome(1, R, "0x0110 processing failure", 0x0110)
    assert within_limit(retry, 4) is retry
    assert within_limit(retry, 5).result is X
    busy = Outcome(1, B, "", 0xA700)
    assert within_limit(busy, 1000) is busy
    lost = Outcome(1, R, "lost")
    assert within_limit(lost, 1000) is lost


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Unreachable("x"), Result.UNREACHABLE),
        (Busy("x", 503, 7.0), B),
        (Rejected("x"), H),
        (Refused("x"), H),
        (ConfigError(()), H),
        (Undeliverable("x"), X),
        (MorphFailed("x"), Result.QUARANTINED),
        (BadDataset("x"), Result.QUARANTINED),
        (DeliveryError("x"), R),
        (ProtocolError("x"), R),
        (StoreDown("x"), R),
        (StoreFull("x"), R),
        (RouterError("x"), R),
    ],
)
def test_every_error_of_the_tree_has_a_result(error: RouterError, result: Result) -> None:
    outcome = failure_outcome(9, error)
    assert (outcome.delivery_id, outcome.result) == (9, result)
    if isinstance(error, DeliveryError):
        assert outcome.status == error.status
        assert outcome.retry_after_seconds == error.retry_after_seconds


def test_every_class_of_error_is_told_apart_on_purpose() -> None:
    def below(kind: type[RouterError]) -> set[type[RouterError]]:
        return {kind, *(found for sub in kind.__subclasses__() for found in below(sub))}

    told = {Result.RETRY, Result.BUSY, Result.UNREACHABLE, Result.HOLD, Result.DEAD}
    for kind in below(RouterError):
        if kind.__module__ == "router.errors":
            error = kind([]) if kind is ConfigError else kind("x")  # type: ignore[arg-type]
            assert failure_outcome(1, error).result in told | {Result.QUARANTINED}
