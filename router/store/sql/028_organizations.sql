-- Whose stations a token may see: names of organizations as a JSON list; [] is everyone's.

ALTER TABLE web_token ADD COLUMN organizations TEXT NOT NULL DEFAULT '[]';
