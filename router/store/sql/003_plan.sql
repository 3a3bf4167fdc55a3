-- Which plans accepted instances here, and the commit each was deployed from ('' for a plain folder).

CREATE TABLE plan (
    digest   TEXT PRIMARY KEY,
    revision TEXT NOT NULL,
    first_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
