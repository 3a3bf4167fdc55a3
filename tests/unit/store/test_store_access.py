"""Tokens and sessions: what opens what, until when, and that no secret is kept."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from router.errors import StoreDown, StoreFull
from router.store import access as module
from router.store.access import AccessBook, KeptAnswer
from tests.support.store_making import TestClock

DAY = 86_400.0


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def book(tmp_path, clock):
    made = AccessBook.open(tmp_path / "ledger" / "ledger.db", clock)
    yield made
    made.close()


def wait(clock, seconds):
    clock.time += seconds


def test_f5_a_token_opens_until_it_expires(book, clock):
    token, text = book.issue("ana", {"read", "phi"}, DAY)
    assert (token.name, token.scopes, token.is_once) == ("ana", {"read", "phi"}, False)
    assert book.bearer(text) == token
    assert book.bearer(f"  {text}\n") is not None
    wait(clock, DAY - 1)
    assert book.bearer(text) is not None
    wait(clock, 1)
    assert book.bearer(text) is None and book.log_in(text) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text.swapcase(),
        lambda text: text.replace("drt_1_", "drt_2_"),
        lambda text: text.replace("drt_", "drx_"),
        lambda text: text.replace("_1_", "_²_"),
        lambda text: text.replace("_1_", "_-1_"),
        lambda text: text.replace("_1_", f"_{'9' * 60}_"),
        lambda text: "",
        lambda text: "drt__",
        lambda text: "drt_1_\udcff",
        lambda text: "x" * 10_000,
    ],
)
def test_what_is_no_token_opens_nothing(book, change):
    _, text = book.issue("ana", {"read"}, DAY)
    book.issue("other", {"read"}, DAY)
    assert book.bearer(change(text)) is None
    assert book.log_in(change(text)) is None


def test_the_secret_is_in_no_file(book, tmp_path):
    _, text = book.issue("ana", {"read"}, DAY)
    _, cookie = book.log_in(text)
    secret = text.split("_", 2)[2]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret.encode() not in content and cookie.encode() not in content
    assert len(secret) >= 43  # 256 bits in base64


def test_secrets_differ_and_numbers_are_never_given_twice(book):
    texts = [book.issue("ana", {"read"}, DAY)[1] for _ in range(20)]
    assert len({text.split("_", 2)[2] for text in texts}) == 20
    assert len({text.split("_")[1] for text in texts}) == 20


def test_last_use_is_noted_once_a_minute(book, clock):
    _, text = book.issue("ana", {"read"}, DAY)
    assert book.tokens()[0].last_used_at is None
    book.bearer(text)
    first = clock.time
    wait(clock, 30)
    book.bearer(text)
    assert book.tokens()[0].last_used_at == first
    wait(clock, 31)
    book.bearer(text)
    assert book.tokens()[0].last_used_at == clock.time


def test_revoking_ends_token_and_sessions_once(book):
    token, text = book.issue("ana", {"read"}, DAY)
    _, cookie = book.log_in(text)
    assert book.revoke(token.token_id) is True
    assert book.bearer(text) is None and book.session(cookie) is None and book.log_in(text) is None
    assert book.revoke(token.token_id) is False and book.revoke(999) is False


def test_a_one_time_token_opens_one_session_that_outlives_it(book, clock):
    _, text = book.issue("ana", {"read"}, 900, once=True)
    assert book.bearer(text) is None
    token, cookie = book.log_in(text)
    assert token.name == "ana" and book.log_in(text) is None
    for _ in range(3):
        wait(clock, 600)
        assert book.session(cookie) is not None, "used, and the token is over for long"


def test_a_one_time_token_that_two_try_at_once_lets_one_in(book):
    _, text = book.issue("ana", {"read"}, 900, once=True)
    found = []
    threads = [threading.Thread(target=lambda: found.append(book.log_in(text))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(one is not None for one in found) == 1


def test_a_session_ends_when_idle_when_old_and_with_its_token(book, clock):
    _, text = book.issue("ana", {"read"}, 2 * 3600)
    _, idle = book.log_in(text)
    wait(clock, module.SESSION_IDLE_SECONDS + 1)
    assert book.session(idle) is None

    _, used = book.log_in(text)
    while clock.time < 1_000_000 + 2 * 3600 - 600:
        wait(clock, 300)
        assert book.session(used) is not None
    wait(clock, 700)
    assert book.session(used) is None, "the token has expired"

    _, text = book.issue("ana", {"read"}, 30 * DAY)
    _, old = book.log_in(text)
    for _ in range(int(module.SESSION_SECONDS / 600) - 1):
        wait(clock, 600)
        assert book.session(old) is not None
    wait(clock, 601)
    assert book.session(old) is None, "eight hours are enough"


def test_a_page_that_refreshes_itself_keeps_no_session_alive(book, clock):
    _, cookie = book.log_in(book.issue("ana", {"read"}, DAY)[1])
    for _ in range(8):
        wait(clock, 100)
        assert book.session(cookie, is_used=False) is not None
    wait(clock, 101)
    assert book.session(cookie, is_used=False) is None


def test_logging_out_ends_this_session_alone(book):
    _, text = book.issue("ana", {"read"}, DAY)
    (_, one), (_, two) = book.log_in(text), book.log_in(text)
    book.log_out(one)
    book.log_out("never was one")
    assert book.session(one) is None and book.session(two) is not None
    assert book.session("") is None and book.session("x" * 5000) is None


def test_answers_are_kept_for_a_day_by_token_and_key(book, clock):
    answer = KeptAnswer(b"asked", 202, '{"a": 1}')
    book.keep_answer(1, "k", answer)
    assert book.kept_answer(1, "k") == answer
    assert book.kept_answer(2, "k") is None and book.kept_answer(1, "other") is None
    wait(clock, module.ANSWER_SECONDS + 1)
    assert book.kept_answer(1, "k") is None
    book.issue("ana", {"read"}, DAY)  # tidies up


def test_what_is_over_is_tidied_up(book, clock, tmp_path):
    _, text = book.issue("ana", {"read"}, 30 * DAY)
    book.log_in(text)
    book.keep_answer(1, "k", KeptAnswer(b"", 200, ""))
    wait(clock, 2 * DAY)
    book.issue("ben", {"read"}, DAY)
    with sqlite3.connect(tmp_path / "ledger" / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM web_session").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM web_answer").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM web_token").fetchone() == (2,)
    connection.close()


def test_another_process_sees_what_this_one_did(book, clock, tmp_path):
    token, text = book.issue("ana", {"read"}, DAY)
    other = AccessBook.open(tmp_path / "ledger" / "ledger.db", clock)
    assert other.bearer(text) is not None
    other.revoke(token.token_id)
    assert book.bearer(text) is None
    other.close()


@pytest.mark.parametrize("trouble", [StoreFull("no room"), StoreDown("an I/O error")])
def test_F29_who_was_let_in_stays_so_on_a_full_disk(book, clock, monkeypatch, trouble):
    _, text = book.issue("ana", {"read"}, DAY)
    _, cookie = book.log_in(text)
    wait(clock, 300)

    def write():
        raise trouble

    monkeypatch.setattr(book._database, "write", write)
    assert book.bearer(text).name == "ana"
    assert book.session(cookie).name == "ana"
