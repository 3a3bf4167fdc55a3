"""The gate: which attempts are still looked at, and what a session may do from where."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response

from router.store.access import AccessBook
from router.web.access import Throttled, TokenOver
from router.web.access import guarded as guarded_by
from router.web.gate import Failures, Gate
from tests.support.store_making import TestClock


def asked(method="GET", scheme="https", address="10.0.0.9", **headers):
    written = {"host": "edge.example", **{name.replace("_", "-"): v for name, v in headers.items()}}
    scope = {
        "type": "http", "method": method, "scheme": scheme, "path": "/", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in written.items()],
        "client": (address, 1), "server": ("edge.example", 443),
    }  # fmt: skip
    return Request(scope)


class Guarded:
    def __init__(self, folder):
        self.clock = TestClock()
        self.book = AccessBook.open(folder / "ledger.db", self.clock)
        self.refused = []
        self.gate = Gate(self.book, self.clock, lambda *told: self.refused.append(told))
        self.token = self.book.issue("ana", {"read"}, 3600)[1]

    def cookie(self, scheme="https"):
        answer = Response()
        assert self.gate.log_in(asked("POST", scheme), self.token, answer)
        return answer.headers["set-cookie"].partition(";")[0]


@pytest.fixture
def guarded(tmp_path):
    made = Guarded(tmp_path)
    yield made
    made.book.close()


def test_a_bearer_token_needs_no_proof_of_a_page(guarded):
    for method in ("GET", "POST", "PUT", "DELETE"):
        identity = guarded.gate.authenticate(asked(method, authorization=f"Bearer {guarded.token}"))
        assert identity is not None and identity.name == "ana"
    for written in ("", guarded.token, f"Basic {guarded.token}", "Bearer", "Bearer x y"):
        assert guarded.gate.authenticate(asked(authorization=written)) is None


def test_a_wrong_bearer_token_is_not_helped_by_a_good_cookie(guarded):
    both = asked(authorization="Bearer drt_1_x", cookie=guarded.cookie())
    assert guarded.gate.authenticate(both) is None


def test_the_name_of_the_cookie_binds_it_to_tls(guarded):
    assert guarded.cookie().startswith("__Host-")
    plain = guarded.cookie("http")
    assert not plain.startswith("__Host-")
    assert guarded.gate.visit(asked(scheme="http", cookie=plain)) is not None
    assert guarded.gate.visit(asked(scheme="https", cookie=plain)) is None


@pytest.mark.parametrize(
    ("method", "headers", "is_let_in"),
    [
        ("GET", {}, True),
        ("GET", {"sec_fetch_site": "same-origin"}, True),
        ("GET", {"sec_fetch_site": "none"}, True),
        ("GET", {"sec_fetch_site": "same-site"}, False),
        ("GET", {"sec_fetch_site": "cross-site"}, False),
        ("POST", {}, False),
        ("POST", {"origin": "https://edge.example"}, False),
        ("POST", {"x_csrf_token": "own"}, False),
        ("POST", {"origin": "https://edge.example", "x_csrf_token": "own"}, True),
        ("POST", {"origin": "http://edge.example", "x_csrf_token": "own"}, False),
        ("POST", {"origin": "https://edge.example:444", "x_csrf_token": "own"}, False),
        ("POST", {"origin": "null", "x_csrf_token": "own"}, False),
        ("POST", {"origin": "https://edge.example", "x_csrf_token": "é"}, False),
        ("PUT", {"origin": "https://edge.example", "x_csrf_token": "0" * 64}, False),
    ],
)
def test_F34_a_session_acts_from_our_own_pages_only(guarded, method, headers, is_let_in):
    cookie = guarded.cookie()
    if headers.get("x_csrf_token") == "own":
        visit = guarded.gate.visit(asked(cookie=cookie))
        headers = {**headers, "x_csrf_token": visit.csrf}
    found = guarded.gate.authenticate(asked(method, cookie=cookie, **headers))
    assert (found is not None) == is_let_in
    assert bool(guarded.refused) != is_let_in


def test_logging_out_ends_the_session_and_takes_the_cookie_away(guarded):
    cookie = guarded.cookie()
    answer = Response()
    guarded.gate.log_out(asked("POST", cookie=cookie), answer)
    assert guarded.gate.visit(asked(cookie=cookie)) is None
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_failures_slow_down_a_token_then_an_address_and_are_forgotten(guarded):
    def attempt(text, address="10.0.0.9"):
        return guarded.gate.authenticate(asked(authorization=f"Bearer {text}", address=address))

    for _ in range(10):
        assert attempt("drt_7_guess") is None
    with pytest.raises(Throttled) as caught:
        attempt("drt_7_guess")
    assert 0 < caught.value.retry_after_seconds <= 61
    assert attempt(guarded.token) is not None, "another token of that address goes on"
    for number in range(50):
        attempt(f"drt_{number + 100}_guess")
    with pytest.raises(Throttled):
        attempt(guarded.token)
    assert attempt(guarded.token, "10.0.0.10") is not None, "other addresses go on"
    guarded.clock.time += 61
    assert attempt(guarded.token) is not None
    assert {reason for reason, _ in guarded.refused} == {"token", "throttled"}
    assert all("guess" not in str(one) and "drt_" not in str(one) for one in guarded.refused)


def test_f5_a_one_time_token_opens_at_minute_59_and_is_refused_with_its_reason_at_minute_61(
    guarded,
):
    def log_in(text):
        return guarded.gate.log_in(asked("POST"), text, Response())

    first, second = (guarded.book.issue("ana", {"read"}, 7200, once=True)[1] for _ in range(2))
    guarded.clock.time += 59 * 60
    assert log_in(first)
    with pytest.raises(TokenOver, match="this token is used: it was for one log-in"):
        log_in(first)
    guarded.clock.time += 2 * 60
    with pytest.raises(TokenOver, match="this token is expired: make another one") as caught:
        log_in(second)
    assert caught.value.why == "expired"
    assert [reason for reason, _ in guarded.refused] == ["token", "token"]
    forged = second[:-4] + "AAAA"
    assert log_in(forged) is False, "whoever does not have the token is told nothing of it"


def test_f5_a_program_hears_why_its_token_is_refused(guarded):
    token, text = guarded.book.issue("grafana", {"read"}, 60)
    endpoint = guarded_endpoint(guarded)
    assert endpoint(text).status_code == 200
    guarded.clock.time += 61
    answer = endpoint(text)
    assert answer.status_code == 401
    assert "this token is expired: make another one" in answer.body.decode()
    assert answer.headers["www-authenticate"].startswith("Bearer")
    guarded.book.revoke(token.token_id)
    assert "this token is revoked" in endpoint(text).body.decode()
    assert "give a valid token" in endpoint("drt_1_guess").body.decode()
    once = guarded.book.issue("ana", {"read"}, 60, once=True)[1]
    assert endpoint(once).status_code == 401, "a one-time token is for a log-in alone"


def guarded_endpoint(guarded):
    endpoint = guarded_by(lambda _request: Response(), "read", guarded.gate.authenticate)
    return lambda text: asyncio.run(endpoint(asked(authorization=f"Bearer {text}")))


def test_what_is_remembered_of_failures_is_bounded():
    failures = Failures(TestClock())
    for number in range(10_000):
        failures.note({(str(number), ""): 5})
    assert len(failures._times) <= 4096
    assert failures.wait_seconds({("9999", ""): 1}) > 0
    assert failures.wait_seconds({("0", ""): 1}) == 0, "the oldest are forgotten"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_goes_under_the_rules_it_came_under(guarded, scheme):
    cookie, answer = guarded.cookie(scheme), Response()
    guarded.gate.log_out(asked("POST", scheme, cookie=cookie), answer)
    gone = answer.headers["set-cookie"]
    assert gone.startswith(cookie.partition("=")[0]) and "Max-Age=0" in gone
    assert ("Secure" in gone) == (scheme == "https"), "browsers ignore it else"


def test_F34_a_page_that_is_left_open_does_not_keep_its_person_logged_in(guarded):
    cookie = guarded.cookie()
    for _ in range(4):
        guarded.clock.time += 300
        stream = asked(cookie=cookie, accept="text/event-stream")
        refresh = asked(cookie=cookie, x_refresh="1")
        seen = [guarded.gate.visit(one) for one in (stream, refresh)]
    assert seen == [None, None], "nobody was there for twenty minutes"
