-- Receive tasks: one study as one sender hands it in, until 30 s pass without another object of it.
-- They owe nothing, so they have no deliveries: `received` counts objects, `last_modified_at` is the
-- time of the last. The words of a CHECK can be changed only in the schema's own text.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '(''route'', ''send'')', '(''route'', ''send'', ''receive'')')
WHERE type = 'table' AND name = 'task';
PRAGMA writable_schema = RESET;
ALTER TABLE task ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
