-- How many consumers died with the job in hand. From two on it is a suspect.
ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_suspected ON jobs (seq) WHERE deaths >= 2;

-- Jobs that no model was asked about, for the operator.
CREATE TABLE buried (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    id     BLOB NOT NULL,
    body   BLOB NOT NULL,
    reason TEXT NOT NULL
);
