-- Rules that are tried on the sealed records of a run: asked, granted by the runner, judged.
CREATE TABLE rule_try (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    run_id     uuid        NOT NULL,
    phase      text        NOT NULL CHECK (phase IN ('input', 'output')),
    rules      jsonb       NOT NULL,
    status     text        NOT NULL CHECK (status IN ('asked', 'granted', 'completed', 'failed')),
    dataset    jsonb,
    result     jsonb,
    code       text        NOT NULL DEFAULT '',
    message    text        NOT NULL DEFAULT '',
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((status IN ('completed', 'failed')) = (ended_at IS NOT NULL))
);
ALTER TABLE rule_try ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rule_try TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON rule_try TO validator_server;
