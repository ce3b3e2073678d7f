-- Calls that clients ordered, until they are made.
CREATE TABLE callbacks (
    id       BLOB PRIMARY KEY,
    url      TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    body     TEXT,
    due_ms   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX callbacks_due ON callbacks (due_ms);
