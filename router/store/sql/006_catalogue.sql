-- What is held, described: one row for each series, its patient attributes sealed under the key ring.

CREATE TABLE catalogue (
    entry_id            INTEGER PRIMARY KEY AUTOINCREMENT, -- a changed row gets a new one
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,          -- the instance it was read from
    sealed              BLOB,                   -- NULL: nothing of the series is held any more
    UNIQUE (study_instance_uid, series_instance_uid)
) STRICT;

CREATE TABLE catalogue_mark (                   -- one row: how far the instances were looked at
    instance_id INTEGER NOT NULL
) STRICT;
INSERT INTO catalogue_mark VALUES (0);

-- Who asked by C-MOVE, for the Move Originator of C-STORE requests (PS3.7 9.1.1.1).
ALTER TABLE task ADD COLUMN move_originator_ae_title TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN move_originator_message_id INTEGER NOT NULL DEFAULT 0;
