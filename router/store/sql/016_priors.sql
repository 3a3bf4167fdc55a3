-- Earlier studies to be fetched: one row for each study that a rule with `fetch_priors` met.

CREATE TABLE prior (
    prior_id           INTEGER PRIMARY KEY AUTOINCREMENT,
    study_instance_uid TEXT NOT NULL,
    rule               TEXT NOT NULL,
    instance_id        INTEGER NOT NULL REFERENCES instance,  -- whose record names the patient
    state              TEXT NOT NULL CHECK (state IN ('waiting', 'fetched', 'failed')),
    tries              INTEGER NOT NULL DEFAULT 0,
    due_at             REAL NOT NULL,
    message            TEXT NOT NULL DEFAULT '',
    created_at         REAL NOT NULL,
    changed_at         REAL NOT NULL,
    UNIQUE (study_instance_uid, rule)
) STRICT;
CREATE INDEX prior_due ON prior (due_at) WHERE state = 'waiting';
CREATE TABLE prior_mark (       -- one row: how far the instances were looked at; -1: nobody looks
    instance_id INTEGER NOT NULL
) STRICT;
INSERT INTO prior_mark VALUES (-1);
