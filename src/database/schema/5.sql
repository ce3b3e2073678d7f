-- Whose a job is; none: anybody's who has its id.
ALTER TABLE results ADD COLUMN owner TEXT;
