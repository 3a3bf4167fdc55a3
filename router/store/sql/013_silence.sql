-- A task that waits for silence: nothing of it is leased before `quiet_at`, which every further object
-- moves by `idle_seconds`. One that waits for a series has its UID.

ALTER TABLE task ADD COLUMN series_instance_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN idle_seconds REAL;
ALTER TABLE task ADD COLUMN quiet_at REAL;
CREATE INDEX task_quiet ON task (quiet_at) WHERE quiet_at IS NOT NULL;
