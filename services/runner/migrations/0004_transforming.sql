-- Runs whose report has code of its own: the validator runs it, the run waits as it does for a verdict.

ALTER TABLE run DROP CONSTRAINT run_status_check;
ALTER TABLE run ADD CONSTRAINT run_status_check CHECK (status IN (
    'waiting', 'queued', 'running', 'validating', 'transforming', 'succeeded', 'partial', 'failed', 'cancelled'));

-- What a run asked of its report's code: the records as it got them, and what came of it.
CREATE TABLE transformation (
    tenant_id    uuid        NOT NULL,
    run_id       uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    status       text        NOT NULL CHECK (status IN ('requested', 'completed', 'failed')),
    dataset      jsonb       NOT NULL,
    held         bigint      NOT NULL CHECK (held >= 0),
    requested_at timestamptz NOT NULL,
    ended_at     timestamptz,
    result       jsonb,
    PRIMARY KEY (tenant_id, run_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id),
    CHECK ((status = 'requested') = (ended_at IS NULL))
);
ALTER TABLE transformation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON transformation TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON transformation TO runner_server;
