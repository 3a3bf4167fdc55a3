-- What is brought here from other stations is a task too; and the number of an instance, by which clients
-- of the change feed remember how far they are, is never given twice, whatever was deleted.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''send'', ''receive''', '''send'', ''receive'', ''retrieve''')
WHERE type = 'table' AND name = 'task';
UPDATE sqlite_schema
SET sql = replace(sql, 'INTEGER PRIMARY KEY,', 'INTEGER PRIMARY KEY AUTOINCREMENT,')
WHERE type = 'table' AND name = 'instance';
PRAGMA writable_schema = RESET;
-- Rows may have been deleted before: the audit trail remembers how far they went.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'instance', max((SELECT coalesce(max(instance_id), 0) FROM instance), instance_id) FROM audit_head;

-- Sub-operations as the station that is asked counts them. Of a task that sends (a C-MOVE of what another
-- station holds) only what is still to come, or cannot be had: the rest are its deliveries.
CREATE TABLE retrieval (
    task_id   INTEGER PRIMARY KEY REFERENCES task,
    state     TEXT NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    remaining INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    warnings  INTEGER NOT NULL DEFAULT 0,
    answer    TEXT NOT NULL DEFAULT '',         -- the station's last, in words
    note      TEXT NOT NULL DEFAULT '',         -- what asked for it: the study and instance that came
    told_at   REAL NOT NULL                     -- whoever follows it says so again and again
) STRICT;
CREATE INDEX retrieval_running ON retrieval (told_at) WHERE state = 'running';

-- Whether a note was acted upon when it comes once more.
CREATE INDEX rejection_note ON rejection (note_id);
