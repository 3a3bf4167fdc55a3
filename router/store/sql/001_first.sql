-- The first schema. No patient attributes anywhere: UIDs, names of stations, sizes, times.

CREATE TABLE instance (
    instance_id         INTEGER PRIMARY KEY,
    record_id           BLOB NOT NULL UNIQUE,   -- the record keeps it when it is copied forward
    segment             INTEGER,                -- NULL: the bytes were evicted
    place               INTEGER,                -- byte offset in the segment
    length              INTEGER NOT NULL,
    sop_class_uid       TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    modality            TEXT NOT NULL,
    data_set_length     INTEGER NOT NULL,
    header_length       INTEGER NOT NULL,
    content_digest      BLOB NOT NULL,
    received_at         REAL NOT NULL,
    listener            TEXT NOT NULL,
    calling_ae_title    TEXT NOT NULL,
    called_ae_title     TEXT NOT NULL,
    address             TEXT NOT NULL,
    source_station      TEXT,
    plan_digest         TEXT NOT NULL,
    disposition         TEXT NOT NULL
        CHECK (disposition IN ('routed', 'unmatched', 'discarded', 'quarantined', 'duplicate')),
    duplicate_of        INTEGER REFERENCES instance,
    rules               TEXT NOT NULL           -- JSON list of names
) STRICT;
CREATE UNIQUE INDEX instance_place ON instance (segment, place);
CREATE INDEX instance_sop ON instance (sop_instance_uid);
CREATE INDEX instance_study ON instance (study_instance_uid);
CREATE INDEX instance_disposition ON instance (disposition, segment);

CREATE TABLE recipe (
    digest TEXT PRIMARY KEY,
    steps  TEXT NOT NULL                        -- canonical JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    task_id            INTEGER PRIMARY KEY AUTOINCREMENT,
    kind               TEXT NOT NULL CHECK (kind IN ('route', 'send')),
    priority           INTEGER NOT NULL,
    station            TEXT NOT NULL,
    requester          TEXT NOT NULL,           -- the rule by name, or a person
    study_instance_uid TEXT NOT NULL,
    created_at         REAL NOT NULL,
    started_at         REAL,
    ended_at           REAL,                    -- NULL while a delivery is open
    last_modified_at   REAL NOT NULL
) STRICT;
CREATE INDEX task_of ON task (study_instance_uid, station, requester, kind);

CREATE TABLE delivery (
    delivery_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id   INTEGER NOT NULL REFERENCES instance,
    task_id       INTEGER NOT NULL REFERENCES task,
    station       TEXT NOT NULL,
    recipe_digest TEXT NOT NULL REFERENCES recipe,
    priority      INTEGER NOT NULL,
    state         TEXT NOT NULL
        CHECK (state IN ('queued', 'sending', 'delivered', 'dead', 'quarantined', 'cancelled')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    due_at        REAL NOT NULL DEFAULT 0,      -- 0: at once, whatever the clock says
    leased_by     TEXT,                         -- boot id
    last_error    TEXT NOT NULL DEFAULT '',
    last_status   INTEGER,
    created_at    REAL NOT NULL,
    changed_at    REAL NOT NULL,
    CHECK ((state = 'sending') = (leased_by IS NOT NULL))
) STRICT;
-- Never two deliveries of one instance to one station at once.
CREATE UNIQUE INDEX delivery_open ON delivery (instance_id, station, recipe_digest)
    WHERE state IN ('queued', 'sending');
CREATE INDEX delivery_instance ON delivery (instance_id);
CREATE INDEX delivery_task ON delivery (task_id, state);
CREATE INDEX delivery_queue
    ON delivery (station, priority, task_id, delivery_id, due_at, changed_at)
    WHERE state = 'queued';
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'queued' AND due_at > 0;
CREATE INDEX delivery_leased ON delivery (leased_by) WHERE state = 'sending';

CREATE TABLE station_status (
    station    TEXT PRIMARY KEY,
    state      TEXT NOT NULL CHECK (state IN ('online', 'offline', 'unknown', 'inactive')),
    reason     TEXT NOT NULL,
    since      REAL NOT NULL,
    checked_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (                            -- append only: this is the Task Log
    event_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at          REAL NOT NULL,
    task_id     INTEGER NOT NULL REFERENCES task,
    delivery_id INTEGER,
    kind        TEXT NOT NULL,
    message     TEXT NOT NULL,
    status      INTEGER
) STRICT;
CREATE INDEX event_task ON event (task_id);

CREATE TABLE segment (
    number     INTEGER PRIMARY KEY,
    indexed_to INTEGER NOT NULL,
    dropped    INTEGER NOT NULL DEFAULT 0       -- forgotten; the file may be deleted
) STRICT;

CREATE TABLE counter (                          -- counted when things happen, not from the rows
    name    TEXT NOT NULL,
    station TEXT NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (name, station)
) STRICT, WITHOUT ROWID;
