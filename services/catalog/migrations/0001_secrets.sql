-- Connectors' secrets, encrypted; and who was lent them.

CREATE TABLE secret (
    tenant_id     uuid        NOT NULL,
    definition_id uuid        NOT NULL,
    sealed        bytea       NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, definition_id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES definition (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON secret TO catalog_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON secret TO catalog_server;

CREATE TABLE lease (
    tenant_id    uuid        NOT NULL,
    run_id       uuid        NOT NULL,
    step         text        NOT NULL,
    connector_id uuid        NOT NULL,
    attempt      int         NOT NULL,
    leased_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, run_id, step, connector_id),
    FOREIGN KEY (tenant_id, connector_id) REFERENCES definition (tenant_id, id)
);
ALTER TABLE lease ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lease TO catalog_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON lease TO catalog_server;
