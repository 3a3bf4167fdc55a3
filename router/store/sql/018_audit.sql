-- The audit trail: a chain of sealed messages (PS3.15 A.5), and what the ledger did that is to be told in it.
-- Triggers write down what is due in the very transaction that made it so.

CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY,               -- 1, 2, 3 … without a gap
    at       REAL NOT NULL,
    event    TEXT NOT NULL,
    outcome  INTEGER NOT NULL,                  -- 0 success, 4, 8, 12 failures (PS3.15 A.5.2)
    who      TEXT NOT NULL,                     -- a token, station, AE title, rule; never a patient
    what     TEXT NOT NULL,                     -- a Study Instance UID, a name of ours
    sealed   BLOB NOT NULL,                     -- the message, under the key ring, bound to audit_id
    digest   BLOB NOT NULL                      -- SHA-256 of the digest before and of this row
) STRICT;
CREATE INDEX audit_event ON audit (event, audit_id);
CREATE INDEX audit_who ON audit (who, audit_id);
CREATE INDEX audit_what ON audit (what, audit_id);

CREATE TABLE audit_head (                       -- one row
    first_id     INTEGER NOT NULL,              -- the first row that is kept
    before_first BLOB NOT NULL,                 -- the digest of the row before it
    last_id      INTEGER NOT NULL,
    last_digest  BLOB NOT NULL,
    shipped_id   INTEGER NOT NULL,              -- up to here the syslog receiver has them
    instance_id  INTEGER NOT NULL               -- up to here what was received is told
) STRICT;
INSERT INTO audit_head
SELECT 1, zeroblob(32), 0, zeroblob(32), 0, coalesce(max(instance_id), 0) FROM instance;

CREATE TABLE audit_due (
    due_id              INTEGER PRIMARY KEY AUTOINCREMENT,
    at                  REAL NOT NULL,
    event               TEXT NOT NULL CHECK (event IN ('begun', 'ended', 'deleted')),
    task_id             INTEGER,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sealed              BLOB,                   -- of 'deleted': the catalogue's row, as it was
    UNIQUE (event, task_id)
) STRICT;

ALTER TABLE task ADD COLUMN audited_at REAL;    -- up to when its deliveries are told

CREATE TRIGGER audit_task_begun AFTER UPDATE OF started_at ON task
WHEN OLD.started_at IS NULL AND NEW.started_at IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO audit_due
        (at, event, task_id, study_instance_uid, series_instance_uid)
    VALUES (NEW.started_at, 'begun', NEW.task_id, NEW.study_instance_uid, '');
END;

CREATE TRIGGER audit_task_ended AFTER UPDATE OF ended_at ON task
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO audit_due
        (at, event, task_id, study_instance_uid, series_instance_uid)
    VALUES (NEW.ended_at, 'ended', NEW.task_id, NEW.study_instance_uid, '');
END;

CREATE TRIGGER audit_series_deleted BEFORE INSERT ON catalogue WHEN NEW.sealed IS NULL
BEGIN
    INSERT INTO audit_due
        (at, event, task_id, study_instance_uid, series_instance_uid, sealed)
    SELECT (julianday('now') - 2440587.5) * 86400.0, 'deleted', NULL, c.study_instance_uid,
        c.series_instance_uid, c.sealed
    FROM catalogue c
    WHERE c.study_instance_uid = NEW.study_instance_uid
      AND c.series_instance_uid = NEW.series_instance_uid AND c.sealed IS NOT NULL;
END;
