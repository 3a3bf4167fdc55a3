-- A task that somebody holds: nothing of it is leased until somebody resumes it. One whose priority
-- somebody set: what joins it has that priority too.

ALTER TABLE task ADD COLUMN held_by TEXT;
ALTER TABLE task ADD COLUMN held_at REAL;
ALTER TABLE task ADD COLUMN priority_set INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_held ON task (task_id) WHERE held_by IS NOT NULL;
