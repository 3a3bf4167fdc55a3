-- The data key of an audit message, wrapped under the key ring: outside of the chain, so that it can be
-- wrapped anew when the ring's key changes. NULL: sealed under the ring itself, by an earlier version.
ALTER TABLE audit ADD COLUMN wrapped BLOB;
CREATE INDEX audit_key ON audit (substr(wrapped, 1, 16));

-- What viewers will want soon, to be fetched here before they ask. UIDs and names of ours, no patient.
CREATE TABLE prefetch (
    prefetch_id INTEGER PRIMARY KEY AUTOINCREMENT,
    requester   TEXT NOT NULL,
    batch       INTEGER NOT NULL,               -- how many items are fetched side by side
    created_at  REAL NOT NULL,
    started_at  REAL,
    ended_at    REAL,
    cancelled_at REAL,
    message     TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE prefetch_item (
    prefetch_id         INTEGER NOT NULL REFERENCES prefetch,
    number              INTEGER NOT NULL,       -- 1, 2, 3 … in the order they are wanted
    station             TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,          -- '': the whole study
    sop_instance_uid    TEXT NOT NULL,          -- '': the whole series
    state               TEXT NOT NULL CHECK (state IN ('ready', 'done', 'failed', 'cancelled', 'beyond')),
    fetched             INTEGER NOT NULL DEFAULT 0,
    held                INTEGER NOT NULL DEFAULT 0,
    failed              INTEGER NOT NULL DEFAULT 0,
    message             TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (prefetch_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX prefetch_open ON prefetch (prefetch_id) WHERE ended_at IS NULL;
