-- What an administrator calls somebody whom they invite; whoever comes may say otherwise.
ALTER TABLE invitation ADD COLUMN name text CHECK (length(name) BETWEEN 1 AND 200);
