-- Storage commitment completed: what a station said no for, the study to look for an object in, and tasks
-- of kind 'commit', one for each transaction that a station asks of us.

ALTER TABLE delivery ADD COLUMN sent_study_instance_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN failure_reason INTEGER;  -- (0008,1197) of what is dead for want of it
