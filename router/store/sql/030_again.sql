-- What was shredded stays so: nothing of it is fetched again by itself.
CREATE TABLE shredded (
    study_instance_uid TEXT PRIMARY KEY,
    at                 REAL NOT NULL            -- what came later is another matter
) STRICT, WITHOUT ROWID;

-- Verifications: all that is held, or a study, read to its end; how far it is and what did not open.
CREATE TABLE verification (
    verification_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    requester          TEXT NOT NULL,
    study_instance_uid TEXT,                    -- NULL: everything
    created_at         REAL NOT NULL,
    started_at         REAL,
    ended_at           REAL,
    message            TEXT NOT NULL DEFAULT '',-- why it ended early
    total              INTEGER NOT NULL DEFAULT 0,
    records            INTEGER NOT NULL DEFAULT 0,
    data_set_bytes     INTEGER NOT NULL DEFAULT 0,
    damaged            INTEGER NOT NULL DEFAULT 0,
    segment            INTEGER NOT NULL DEFAULT -1, -- the last that was read
    place              INTEGER NOT NULL DEFAULT -1
) STRICT;
CREATE INDEX verification_open ON verification (verification_id) WHERE ended_at IS NULL;

CREATE TABLE verification_damage (              -- the first thousand
    verification_id INTEGER NOT NULL REFERENCES verification,
    instance_id     INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    is_owed         INTEGER NOT NULL,
    PRIMARY KEY (verification_id, instance_id)
) STRICT, WITHOUT ROWID;
