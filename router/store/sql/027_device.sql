-- Since when this installation is there: whoever looks after many of them knows it by link id and first start.

CREATE TABLE device (
    only_one         INTEGER PRIMARY KEY CHECK (only_one = 1),
    first_started_at REAL NOT NULL  -- a ledger of before this step: of its first instance, as far as it is known
) STRICT;
