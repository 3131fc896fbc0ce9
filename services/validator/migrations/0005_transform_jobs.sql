-- Transforms that are a report's own code, waiting for a worker; a table of their own: who judges records must not take them.

CREATE TABLE transform_job (
    tenant_id      uuid        NOT NULL,
    request_id     uuid        NOT NULL,
    run_id         uuid        NOT NULL,
    request        jsonb       NOT NULL,
    status         text        NOT NULL CHECK (status IN ('queued', 'done', 'failed', 'cancelled')),
    attempts       int         NOT NULL DEFAULT 0,
    leased_until   timestamptz NOT NULL DEFAULT '-infinity',
    traceparent    text,
    correlation_id text,
    created_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    PRIMARY KEY (tenant_id, request_id),
    CHECK ((status = 'queued') = (ended_at IS NULL))
);
CREATE INDEX transform_job_run ON transform_job (tenant_id, run_id);
-- the claimer looks over all tenants for jobs that nobody works on
CREATE INDEX transform_job_open ON transform_job (tenant_id, leased_until) WHERE status = 'queued';
ALTER TABLE transform_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON transform_job TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY claimer ON transform_job FOR SELECT TO validator_claimer USING (status = 'queued');
GRANT SELECT, INSERT, UPDATE ON transform_job TO validator_server;
GRANT SELECT (tenant_id, request_id, status, leased_until, created_at) ON transform_job TO validator_claimer;
