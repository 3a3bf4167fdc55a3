-- What is told to webhooks: events without patients, and how far each hook has them. Changes of stations
-- and ended tasks are written down by triggers, in the transactions that made them.

CREATE TABLE webhook_event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    event    TEXT NOT NULL,
    data     TEXT NOT NULL                      -- JSON: names of ours, counts, times
) STRICT;

CREATE TABLE webhook_mark (
    webhook  TEXT PRIMARY KEY,
    event_id INTEGER NOT NULL,                  -- up to here it has them
    attempts INTEGER NOT NULL DEFAULT 0,        -- of the next one
    due_at   REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_task (                     -- ended; told once nothing has joined for a while
    task_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE webhook_told (                     -- what is told once, such as a certificate's end
    matter TEXT PRIMARY KEY,
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Names of stations are letters, digits, '-', '_' and '.': nothing to escape, and JSON functions are
-- not to be trusted in triggers (trusted_schema).
CREATE TRIGGER webhook_station AFTER INSERT ON station_event
WHEN NEW.state IN ('online', 'offline', 'unknown')
BEGIN
    INSERT INTO webhook_event (at, event, data)
    VALUES (NEW.at, 'station.' || NEW.state, '{"station": "' || NEW.station || '"}');
END;

CREATE TRIGGER webhook_task_ended AFTER UPDATE OF ended_at ON task
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO webhook_task VALUES (NEW.task_id);
END;
