-- Where in a trace the job was published (a `traceparent` of W3C Trace Context), if traces are on.
ALTER TABLE jobs ADD COLUMN trace TEXT;
