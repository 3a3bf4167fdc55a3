-- Storage commitment completed: what a station said no for, the study to look for an object in, and tasks
-- of kind 'commit', one for each transaction that a station asks of us.

ALTER TABLE delivery ADD COLUMN sent_study_instance_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN failure_reason INTEGER;  -- (0008,1197) of what is dead for want of it

-- The words of a CHECK can be changed only in the schema's own text.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''receive''', '''receive'', ''commit''')
WHERE type = 'table' AND name = 'task';
PRAGMA writable_schema = RESET;

ALTER TABLE commitment ADD COLUMN task_id INTEGER REFERENCES task;
ALTER TABLE commitment ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;  -- of 'given_up': by a person
INSERT INTO task (kind, priority, station, requester, study_instance_uid, created_at, started_at, ended_at,
    last_modified_at, received)
SELECT 'commit', 1, station, station, '', asked_at, asked_at, ended_at, coalesce(ended_at, asked_at),
    commitment_id
FROM commitment;
UPDATE commitment SET task_id = (
    SELECT task_id FROM task WHERE kind = 'commit' AND received = commitment_id);
UPDATE task SET received = 0 WHERE kind = 'commit';
CREATE INDEX commitment_task ON commitment (task_id);

-- What the audit trail and webhooks tell of ended tasks are deliveries: these have none.
DROP TRIGGER audit_task_ended;
CREATE TRIGGER audit_task_ended AFTER UPDATE OF ended_at ON task
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NEW.kind <> 'commit'
BEGIN
    INSERT OR IGNORE INTO audit_due
        (at, event, task_id, study_instance_uid, series_instance_uid)
    VALUES (NEW.ended_at, 'ended', NEW.task_id, NEW.study_instance_uid, '');
END;
DROP TRIGGER webhook_task_ended;
CREATE TRIGGER webhook_task_ended AFTER UPDATE OF ended_at ON task
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NEW.kind <> 'commit'
BEGIN
    INSERT OR IGNORE INTO webhook_task VALUES (NEW.task_id);
END;
