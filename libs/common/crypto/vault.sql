-- Secrets at rest in {service}: a data key per tenant, wrapped by a key-encryption key from outside the database.

CREATE TABLE data_key (
    tenant_id  uuid        PRIMARY KEY,
    key_id     text        NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
ALTER TABLE data_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON data_key TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON data_key TO {service}_server;

-- A known text under each key-encryption key; no tenant's data (listed in roles.sql).
CREATE TABLE key_canary (
    key_id     text        PRIMARY KEY,
    wrapped    bytea       NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON key_canary TO {service}_server;
