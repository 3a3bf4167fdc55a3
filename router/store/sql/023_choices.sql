-- Deliveries that more than one station may take (`first_of`). Where it moves on, the delivery to the one
-- station ends as 'moved', and the next station is owed one of its own. The words of a CHECK can be
-- changed only in the schema's own text.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''quarantined'', ''cancelled'')',
    '''quarantined'', ''cancelled'', ''moved'')')
WHERE type = 'table' AND name = 'delivery';
PRAGMA writable_schema = RESET;

CREATE TABLE choice (
    choice_id INTEGER PRIMARY KEY,
    options   TEXT NOT NULL UNIQUE              -- JSON, in order: [[station, recipe digest], …]
) STRICT;
ALTER TABLE delivery ADD COLUMN choice_id INTEGER REFERENCES choice;
CREATE INDEX delivery_choice ON delivery (station, choice_id, priority, task_id, delivery_id)
    WHERE state = 'queued' AND choice_id IS NOT NULL;
