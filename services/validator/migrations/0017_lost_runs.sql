-- Runs that failed or were cancelled: nothing more is judged of them, and a cancelled one's records are nobody's work.
CREATE TABLE lost_run (
    tenant_id uuid        NOT NULL,
    run_id    uuid        NOT NULL,
    cancelled boolean     NOT NULL,
    why       text        NOT NULL,
    lost_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, run_id)
);
ALTER TABLE lost_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lost_run TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON lost_run TO validator_server;
