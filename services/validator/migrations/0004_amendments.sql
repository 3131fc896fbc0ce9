-- What people decided of exceptions: another value for a record's field, or that a failure is accepted for a while.

CREATE TABLE decision (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('amendment', 'waiver')),
    report_id    uuid        NOT NULL,
    exception_id uuid        NOT NULL,
    run_id       uuid        NOT NULL,
    phase        text        NOT NULL CHECK (phase IN ('input', 'output')),
    ordinal      bigint      NOT NULL,
    key          text        NOT NULL,
    rule_id      text        NOT NULL,
    evidence     uuid,
    changes      jsonb       NOT NULL,
    expires_on   date,
    reason       text        NOT NULL,
    status       text        NOT NULL CHECK (status IN ('proposed', 'active', 'retired', 'conflict', 'withdrawn')),
    revision     int         NOT NULL,
    proposed_by  text        NOT NULL,
    proposed_at  timestamptz NOT NULL,
    approved_by  text,
    approved_at  timestamptz,
    ended_by     text,
    ended_at     timestamptz,
    note         text        NOT NULL DEFAULT '',
    last_run_id  uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, exception_id) REFERENCES exception (tenant_id, id),
    CHECK ((kind = 'waiver') = (expires_on IS NOT NULL)),
    CHECK ((status IN ('retired', 'conflict', 'withdrawn')) = (ended_at IS NOT NULL))
);
CREATE INDEX decision_list ON decision (tenant_id, kind, id);
CREATE INDEX decision_by_status ON decision (tenant_id, kind, status, id);
CREATE INDEX decision_by_key ON decision (tenant_id, report_id, kind, status, key);
CREATE INDEX decision_by_exception ON decision (tenant_id, exception_id, id);
ALTER TABLE decision ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON decision TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON decision TO validator_server;
