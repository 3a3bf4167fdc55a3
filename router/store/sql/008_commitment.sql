-- Storage commitment (PS3.4 annex J): asked of us, and asked by us. UIDs, names and times only.

-- A delivery to a station with `commit: true` is 'sent' until that station committed to keep it.
CREATE TABLE delivery_next (
    delivery_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id   INTEGER NOT NULL REFERENCES instance,
    task_id       INTEGER NOT NULL REFERENCES task,
    station       TEXT NOT NULL,
    recipe_digest TEXT NOT NULL REFERENCES recipe,
    priority      INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN
        ('queued', 'sending', 'sent', 'delivered', 'dead', 'quarantined', 'cancelled')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    due_at        REAL NOT NULL DEFAULT 0,      -- 0: at once, whatever the clock says
    leased_by     TEXT,                         -- boot id
    last_error    TEXT NOT NULL DEFAULT '',
    last_status   INTEGER,
    created_at    REAL NOT NULL,
    changed_at    REAL NOT NULL,
    sent_sop_class_uid    TEXT NOT NULL DEFAULT '',  -- as the station was sent it, behind all morphs
    sent_sop_instance_uid TEXT NOT NULL DEFAULT '',
    request_id    INTEGER,                      -- the latest request for its commitment
    asked         INTEGER NOT NULL DEFAULT 0,   -- requests the station answered, with no report
    not_committed INTEGER NOT NULL DEFAULT 0,   -- reports that said no
    CHECK ((state = 'sending') = (leased_by IS NOT NULL))
) STRICT;
INSERT INTO delivery_next (delivery_id, instance_id, task_id, station, recipe_digest, priority, state,
    attempts, failures, due_at, leased_by, last_error, last_status, created_at, changed_at)
SELECT delivery_id, instance_id, task_id, station, recipe_digest, priority, state,
    attempts, failures, due_at, leased_by, last_error, last_status, created_at, changed_at
FROM delivery;
-- No number is ever given twice, also where the last rows were deleted.
DELETE FROM sqlite_sequence WHERE name = 'delivery_next';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'delivery_next', seq FROM sqlite_sequence WHERE name = 'delivery';
DROP TABLE delivery;
ALTER TABLE delivery_next RENAME TO delivery;
-- Never two deliveries of one instance to one station at once.
CREATE UNIQUE INDEX delivery_open ON delivery (instance_id, station, recipe_digest)
    WHERE state IN ('queued', 'sending', 'sent');
CREATE INDEX delivery_instance ON delivery (instance_id);
CREATE INDEX delivery_task ON delivery (task_id, state);
CREATE INDEX delivery_queue
    ON delivery (station, priority, task_id, delivery_id, due_at, changed_at)
    WHERE state = 'queued';
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'queued' AND due_at > 0;
CREATE INDEX delivery_leased ON delivery (leased_by) WHERE state = 'sending';
CREATE INDEX delivery_sent ON delivery (station, delivery_id) WHERE state = 'sent';

CREATE TABLE commitment_request (               -- what we asked of a station
    request_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    station         TEXT NOT NULL,
    transaction_uid TEXT NOT NULL UNIQUE,
    asked_at        REAL NOT NULL,
    wait_until      REAL NOT NULL,              -- then it is asked again, under another UID
    reported_at     REAL,
    answer          TEXT NOT NULL DEFAULT ''    -- why the request failed
) STRICT;
CREATE TABLE commitment_requested (
    request_id  INTEGER NOT NULL REFERENCES commitment_request,
    delivery_id INTEGER NOT NULL,
    PRIMARY KEY (request_id, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE commitment (                       -- what a station asked of us
    commitment_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    station         TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    digest          BLOB NOT NULL,              -- of what was asked
    state           TEXT NOT NULL CHECK (state IN ('verifying', 'reporting', 'reported', 'given_up')),
    asked_at        REAL NOT NULL,
    decided_at      REAL,
    ended_at        REAL,
    due_at          REAL NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0, -- reports the station did not take
    last_error      TEXT NOT NULL DEFAULT '',
    UNIQUE (station, transaction_uid)
) STRICT;
CREATE INDEX commitment_due ON commitment (state, due_at) WHERE state IN ('verifying', 'reporting');
CREATE TABLE commitment_reference (
    commitment_id    INTEGER NOT NULL REFERENCES commitment ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    sop_class_uid    TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    failure_reason   INTEGER,                   -- NULL: not decided; 0: committed; else (0008,1197)
    PRIMARY KEY (commitment_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX commitment_reference_of ON commitment_reference (sop_instance_uid);
