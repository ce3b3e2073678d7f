-- Until when a job without an outcome reads as queued; none: until its reservation ends.
ALTER TABLE results ADD COLUMN deadline_ms INTEGER;

-- What clients' keys stand for.
CREATE TABLE claims (
    key        TEXT PRIMARY KEY,
    claim      BLOB NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX claims_expiring ON claims (expires_ms);
