-- What follows from a verdict is tied to the request that asked for the run, not to the run alone.

ALTER TABLE job ADD COLUMN correlation_id text;
