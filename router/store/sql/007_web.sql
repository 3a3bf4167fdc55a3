-- Who may ask over HTTP: tokens and sessions by the SHA-256 of their secrets, never the secrets.

CREATE TABLE web_token (
    token_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    digest       BLOB NOT NULL,                 -- SHA-256 of 256 random bits
    scopes       TEXT NOT NULL,                 -- words, with spaces between
    is_once      INTEGER NOT NULL,              -- 1: opens one session, and is no bearer token
    created_at   REAL NOT NULL,
    expires_at   REAL NOT NULL,
    last_used_at REAL,
    revoked_at   REAL
) STRICT;

CREATE TABLE web_session (
    digest     BLOB PRIMARY KEY,                -- SHA-256 of the cookie
    token_id   INTEGER NOT NULL REFERENCES web_token,
    created_at REAL NOT NULL,
    seen_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE web_answer (                       -- what was answered under an idempotency key
    token_id INTEGER NOT NULL,
    key      TEXT NOT NULL,
    request  BLOB NOT NULL,                     -- SHA-256 of what was asked
    status   INTEGER NOT NULL,
    body     TEXT NOT NULL,
    at       REAL NOT NULL,
    PRIMARY KEY (token_id, key)
) STRICT, WITHOUT ROWID;
