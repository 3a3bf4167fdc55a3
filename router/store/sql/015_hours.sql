-- A station that is outside its hours: what waits for it is held, with these words.

ALTER TABLE station_status ADD COLUMN closed TEXT NOT NULL DEFAULT '';
