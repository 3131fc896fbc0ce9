-- A try is open until it failed; what stays open for long counts as failed.
ALTER TABLE login_attempt ADD COLUMN failed boolean NOT NULL DEFAULT true;
GRANT UPDATE (failed) ON login_attempt TO auth_server;

-- Solved challenges, so that none counts twice; gone when they have expired.
CREATE TABLE used_challenge (
    sha256     bytea       PRIMARY KEY CHECK (length(sha256) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_challenge_age ON used_challenge (expires_at);
GRANT SELECT, INSERT, DELETE ON used_challenge TO auth_server;
