-- What a probe of a station came to, and when its status changed.

ALTER TABLE station_status ADD COLUMN seconds REAL;                     -- of the last probe
ALTER TABLE station_status ADD COLUMN answer TEXT NOT NULL DEFAULT '';  -- of the last probe

CREATE TABLE station_event (                    -- append only
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    station  TEXT NOT NULL,
    state    TEXT NOT NULL,
    reason   TEXT NOT NULL
) STRICT;
CREATE INDEX station_event_of ON station_event (station, event_id);
