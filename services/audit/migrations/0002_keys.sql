-- A known text under each key-encryption key; no tenant's data (listed in roles.sql).
CREATE TABLE key_canary (
    key_id     text        PRIMARY KEY,
    wrapped    bytea       NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON key_canary TO audit_signer;

-- What is stored refers to its key-encryption key's canary: a key goes only when nothing needs it, and once it is gone
-- nothing can be stored under it by a process that has not heard of it. NOT VALID: rows of before are not looked at.
ALTER TABLE signing_key ADD CONSTRAINT signing_key_key_fkey
    FOREIGN KEY (wrapping_key_id) REFERENCES key_canary (key_id) NOT VALID;
