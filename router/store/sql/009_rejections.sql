-- Rejection notes (IHE IOCM): what was rejected, by which note, and what is kept back for it.

ALTER TABLE instance ADD COLUMN withheld TEXT;      -- the title code; 'note': a note itself
CREATE INDEX instance_withheld ON instance (withheld) WHERE withheld IS NOT NULL;

CREATE TABLE rejection (                            -- the register; never pruned
    sop_instance_uid TEXT NOT NULL,                 -- as the note names it
    note_id          INTEGER NOT NULL REFERENCES instance,
    code             TEXT NOT NULL,
    rejected_at      REAL NOT NULL,                 -- when the note was accepted
    PRIMARY KEY (sop_instance_uid, note_id)
) STRICT, WITHOUT ROWID;

-- A delivery is not sent before another one has ended: a note behind the objects it names, a new
-- version behind an old one.
CREATE TABLE delivery_behind (
    earlier_id  INTEGER NOT NULL REFERENCES delivery (delivery_id),
    delivery_id INTEGER NOT NULL REFERENCES delivery (delivery_id),
    PRIMARY KEY (earlier_id, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_behind_of ON delivery_behind (delivery_id);
