-- Jobs in the order of their arrival. An owner has the job in hand.
CREATE TABLE jobs (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB NOT NULL,
    body       BLOB NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0,
    owner      INTEGER
);
CREATE INDEX jobs_waiting ON jobs (seq) WHERE owner IS NULL;
CREATE INDEX jobs_owned ON jobs (owner) WHERE owner IS NOT NULL;

-- How many jobs wait, kept by triggers: counting them anew would cost more with every job.
CREATE TABLE backlog (waiting INTEGER NOT NULL);
INSERT INTO backlog VALUES (0);
CREATE TRIGGER job_published AFTER INSERT ON jobs BEGIN
    UPDATE backlog SET waiting = waiting + 1;
END;
CREATE TRIGGER job_taken AFTER UPDATE OF owner ON jobs WHEN OLD.owner IS NULL AND NEW.owner IS NOT NULL BEGIN
    UPDATE backlog SET waiting = waiting - 1;
END;
CREATE TRIGGER job_returned AFTER UPDATE OF owner ON jobs WHEN OLD.owner IS NOT NULL AND NEW.owner IS NULL BEGIN
    UPDATE backlog SET waiting = waiting + 1;
END;
CREATE TRIGGER job_removed AFTER DELETE ON jobs WHEN OLD.owner IS NULL BEGIN
    UPDATE backlog SET waiting = waiting - 1;
END;

-- Who takes jobs. A consumer that lives raises its beat; one whose beat stands still loses what it has.
CREATE TABLE consumers (
    owner INTEGER PRIMARY KEY AUTOINCREMENT,
    beat  INTEGER NOT NULL DEFAULT 0
);

-- Reservations (no outcome yet) and outcomes, numbered in the order in which they were stored.
CREATE TABLE results (
    id         BLOB PRIMARY KEY,
    outcome    TEXT,
    finished   INTEGER,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- The last number given: numbers are never given twice, even when all results have expired.
CREATE TABLE finishes (last INTEGER NOT NULL);
INSERT INTO finishes VALUES (0);
CREATE UNIQUE INDEX results_finished ON results (finished) WHERE finished IS NOT NULL;
CREATE INDEX results_expiring ON results (expires_ms);
