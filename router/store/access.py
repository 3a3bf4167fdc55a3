"""Who may ask over HTTP: tokens, sessions of browsers, and answers kept under idempotency keys.

Rows of the ledger's file. Secrets are 256 random bits and only their SHA-256 is kept: they are shown
once. A token that is revoked or has expired ends its sessions too. Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.store.database import Database

SCOPES: Final = ("read", "operate", "configure", "phi")
# A one-time token is handed over, so it is not to lie about for long.
ONCE_SECONDS: Final = 3600.0
Closed = Literal["expired", "revoked", "used"]
SESSION_IDLE_SECONDS: Final = 900.0
SESSION_SECONDS: Final = 8 * 3600.0
ANSWER_SECONDS: Final = 86_400.0
_TOUCH_SECONDS: Final = 60.0
_PREFIX: Final = "drt"
_LONGEST: Final = 100
_TOKEN: Final = """
SELECT token_id, name, scopes, is_once, created_at, expires_at, last_used_at, revoked_at,
  organizations, digest
FROM web_token
"""
_SESSION: Final = """
SELECT t.token_id, t.name, t.scopes, t.is_once, t.created_at, t.expires_at, t.last_used_at,
  t.revoked_at, t.organizations, s.seen_at
FROM web_session s JOIN web_token t USING (token_id)
WHERE s.digest = ? AND t.revoked_at IS NULL AND s.seen_at > ? AND s.created_at > ?
  AND (t.is_once OR t.expires_at > ?)
"""


@dataclass(frozen=True, slots=True)
class Token:
    """One token without its secret. Times are seconds since the epoch.

    `organizations` are those it is limited to; none is no limit.
    """

    token_id: int
    name: str
    scopes: frozenset[str]
    is_once: bool
    created_at: float
    expires_at: float
    last_used_at: float | None
    revoked_at: float | None
    organizations: tuple[str, ...] = ()

    def is_valid(self, now: float) -> bool:
        """Whether it opens anything now."""
        is_used = self.is_once and self.last_used_at is not None
        return self.revoked_at is None and now < self.expires_at and not is_used


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered, and the digest of what had been asked."""

    request: bytes
    status: int
    body: str


class AccessBook:
    """Tokens and sessions. Safe for threads; opened after a fork."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, ledger: Path, clock: Clock) -> AccessBook:
        """The book in the ledger's file."""
        return cls(Database(ledger), clock)

    def issue(
        self,
        name: str,
        scopes: Iterable[str],
        lifetime_seconds: float,
        *,
        once: bool = False,
        organizations: Iterable[str] = (),
    ) -> tuple[Token, str]:
        """A new token, and the text that nobody can be told a second time.

        `organizations` limit it to them and those below them; none does not.
        """
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        if once:
            lifetime_seconds = min(lifetime_seconds, ONCE_SECONDS)
        limits = json.dumps(sorted(set(organizations)), ensure_ascii=False)
        words = " ".join(sorted(scopes))
        row = (name, _digest(secret), words, once, now, now + lifetime_seconds, limits)
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM web_session WHERE created_at < ?", (now - SESSION_SECONDS,)
            )
            connection.execute("DELETE FROM web_answer WHERE at < ?", (now - ANSWER_SECONDS,))
            cursor = connection.execute(
                "INSERT INTO web_token (name, digest, scopes, is_once, created_at, expires_at, "
                "organizations) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            token_id = cursor.lastrowid
            found = connection.execute(f"{_TOKEN} WHERE token_id = ?", (token_id,)).fetchone()
        return _token(found), f"{_PREFIX}_{token_id}_{secret}"

    def tokens(self) -> tuple[Token, ...]:
        """Every token, also those that are over, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(f"{_TOKEN} ORDER BY token_id DESC").fetchall()
        return tuple(_token(row) for row in rows)

    def revoke(self, token_id: int) -> bool:
        """End a token and its sessions; false when it was not there or had ended so before."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE web_token SET revoked_at = ? WHERE token_id = ? AND revoked_at IS NULL",
                (self._clock.now(), token_id),
            ).rowcount
            connection.execute("DELETE FROM web_session WHERE token_id = ?", (token_id,))
        return bool(changed)

    def bearer(self, text: str) -> Token | None:
        """The token of this text, where it may be used with every request."""
        token = self._valid(text)
        if token is None or token.is_once:
            return None
        now = self._clock.now()
        if token.last_used_at is None or now - token.last_used_at > _TOUCH_SECONDS:
            statement = "UPDATE web_token SET last_used_at = ? WHERE token_id = ?"
            self._touch(statement, (now, token.token_id))
        return token

    def log_in(self, text: str) -> tuple[Token, str] | None:
        """A session for the token of this text, and the cookie for it; a one-time token is used up."""
        token = self._valid(text)
        if token is None:
            return None
        cookie, now = secrets.token_urlsafe(32), self._clock.now()
        with self._database.write() as connection:
            used = connection.execute(
                "UPDATE web_token SET last_used_at = ? WHERE token_id = ? AND revoked_at IS NULL "
                "AND (NOT is_once OR last_used_at IS NULL)",
                (now, token.token_id),
            ).rowcount
            if not used:
                return None
            connection.execute(
                "INSERT INTO web_session (digest, token_id, created_at, seen_at) "
                "VALUES (?, ?, ?, ?)",
                (_digest(cookie), token.token_id, now, now),
            )
        return token, cookie

    def session(self, cookie: str, *, is_used: bool = True) -> Token | None:
        """The token whose session this cookie is, while it is used and not too old.

        `is_used` is false where a page asks by itself, without the person in front of it.
        """
        if not cookie or len(cookie) > _LONGEST:
            return None
        now, digest = self._clock.now(), _digest(cookie)
        limits = (now - SESSION_IDLE_SECONDS, now - SESSION_SECONDS, now)
        with self._database.read() as connection:
            row = connection.execute(_SESSION, (digest, *limits)).fetchone()
        if row is None:
            return None
        if is_used and now - row[9] > _TOUCH_SECONDS:
            self._touch("UPDATE web_session SET seen_at = ? WHERE digest = ?", (now, digest))
        return _token(row)

    def _touch(self, statement: str, row: tuple[object, ...]) -> None:
        # On a full disk people must still see that it is full.
        with suppress(StoreFull, StoreDown), self._database.write() as connection:
            connection.execute(statement, row)

    def log_out(self, cookie: str) -> None:
        """End a session; harmless when there is none."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM web_session WHERE digest = ?", (_digest(cookie),))

    def kept_answer(self, token_id: int, key: str) -> KeptAnswer | None:
        """What was answered under this key in the last day."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT request, status, body FROM web_answer "
                "WHERE token_id = ? AND key = ? AND at > ?",
                (token_id, key, self._clock.now() - ANSWER_SECONDS),
            ).fetchone()
        return None if row is None else KeptAnswer(*row)

    def keep_answer(self, token_id: int, key: str, answer: KeptAnswer) -> None:
        """Keep what is answered, so that asking again acts once. It must hold no patient data."""
        row = (token_id, key, answer.request, answer.status, answer.body, self._clock.now())
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO web_answer VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close it; harmless when closed."""
        self._database.close()

    def why_closed(self, text: str) -> Closed | None:
        """Why a token that was made here opens nothing any more; None for what was not, or opens."""
        token = self._presented(text)
        if token is None or token.is_valid(self._clock.now()):
            return None
        if token.revoked_at is not None:
            return "revoked"
        return "used" if token.is_once and token.last_used_at is not None else "expired"

    def _valid(self, text: str) -> Token | None:
        token = self._presented(text)
        return token if token is not None and token.is_valid(self._clock.now()) else None

    def _presented(self, text: str) -> Token | None:
        """The token of this text, also when it is over; how long that takes tells nothing of secrets."""
        prefix, _, rest = text.strip().partition("_")
        number, _, secret = rest.partition("_")
        if prefix != _PREFIX or not number.isdecimal() or len(text) > _LONGEST:
            return None
        with self._database.read() as connection:
            row = connection.execute(f"{_TOKEN} WHERE token_id = ?", (int(number[:15]),)).fetchone()
        expected = row[9] if row is not None else bytes(32)
        if not hmac.compare_digest(expected, _digest(secret)) or row is None:
            return None
        return _token(row)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _token(row: tuple[Any, ...]) -> Token:
    token_id, name, scopes, once, created_at, expires_at, used_at, revoked_at, limits = row[:9]
    words, organizations = frozenset(scopes.split()), tuple(json.loads(limits))
    times = created_at, expires_at, used_at, revoked_at
    return Token(token_id, name, words, bool(once), *times, organizations)
