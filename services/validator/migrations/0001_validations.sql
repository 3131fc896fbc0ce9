-- The rules (and the mappings that they look things up in) that a run uses: resolved once, kept under its id.
CREATE TABLE run_rules (
    tenant_id  uuid        NOT NULL,
    run_id     uuid        NOT NULL,
    rules      jsonb       NOT NULL,
    mappings   jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, run_id)
);
ALTER TABLE run_rules ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run_rules TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON run_rules TO validator_server;

CREATE TABLE job (
    tenant_id    uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    run_id       uuid        NOT NULL,
    request      jsonb       NOT NULL,
    status       text        NOT NULL CHECK (status IN ('queued', 'done', 'failed')),
    attempts     int         NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    traceparent  text,
    created_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, request_id)
);
-- the claimer looks over all tenants for jobs that nobody works on
CREATE INDEX job_open ON job (leased_until) WHERE status = 'queued';
ALTER TABLE job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY claimer ON job TO validator_claimer USING (status = 'queued');
GRANT SELECT, INSERT, UPDATE ON job TO validator_server;
GRANT SELECT (tenant_id, request_id, status, leased_until) ON job TO validator_claimer;

-- One record that failed a blocking rule in a run.
CREATE TABLE exception (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL DEFAULT uuidv7(),
    run_id        uuid        NOT NULL,
    report_id     uuid        NOT NULL,
    business_date date        NOT NULL,
    phase         text        NOT NULL CHECK (phase IN ('input', 'output')),
    ordinal       bigint      NOT NULL,
    key           text        NOT NULL,
    rule_id       text        NOT NULL,
    rule_version  int         NOT NULL,
    rule_name     text        NOT NULL,
    outcome       text        NOT NULL CHECK (outcome IN ('fail', 'unknown')),
    fields        jsonb       NOT NULL,
    message       text        NOT NULL,
    status        text        NOT NULL DEFAULT 'open' CHECK (status IN ('open')),
    opened_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX exception_once ON exception (tenant_id, run_id, phase, ordinal, rule_id);
CREATE INDEX exception_report ON exception (tenant_id, report_id, id);
CREATE INDEX exception_run_rule ON exception (tenant_id, run_id, rule_id, id);
ALTER TABLE exception ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exception TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON exception TO validator_server;
