-- Until when a job without an outcome reads as queued; none: until its reservation ends.
ALTER TABLE results ADD COLUMN deadline_ms INTEGER;
