CREATE TABLE schedule (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    name          text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    report_id     uuid        NOT NULL,
    calendar_id   uuid,
    spec          jsonb       NOT NULL,
    status        text        NOT NULL CHECK (status IN ('active', 'paused')),
    revision      int         NOT NULL,
    next_run_at   timestamptz NOT NULL,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity',
    created_at    timestamptz NOT NULL,
    created_by    text        NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, calendar_id) REFERENCES definition (tenant_id, id)
);
CREATE UNIQUE INDEX schedule_name ON schedule (tenant_id, name);
-- the claimer looks over all tenants for what is due; the one index that leads with something else
CREATE INDEX schedule_due ON schedule (next_run_at) WHERE status = 'active';
ALTER TABLE schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON schedule TO scheduler_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY claimer ON schedule TO scheduler_claimer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON schedule TO scheduler_server;
GRANT SELECT (tenant_id, id, status, next_run_at, claimed_until) ON schedule TO scheduler_claimer;
GRANT UPDATE (claimed_until) ON schedule TO scheduler_claimer;

CREATE TABLE firing (
    tenant_id     uuid        NOT NULL,
    schedule_id   uuid        NOT NULL,
    nominal_time  timestamptz NOT NULL,
    id            uuid        NOT NULL,
    business_date date        NOT NULL,
    outcome       text        NOT NULL CHECK (outcome IN ('fired', 'missed')),
    reason        text        NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, schedule_id, nominal_time),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedule (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE firing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON firing TO scheduler_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, DELETE ON firing TO scheduler_server;
