-- What a run's validation counted; it waits for the run's end, which makes values of it.
CREATE TABLE measurement (
    tenant_id  uuid        NOT NULL,
    run_id     uuid        NOT NULL,
    phase      text        NOT NULL CHECK (phase IN ('input', 'output')),
    counts     jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, run_id, phase)
);
ALTER TABLE measurement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON measurement TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, DELETE ON measurement TO validator_server;

-- Runs whose end was taken into the indicators: a second telling changes nothing.
CREATE TABLE measured_run (
    tenant_id   uuid        NOT NULL,
    run_id      uuid        NOT NULL,
    measured_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, run_id)
);
ALTER TABLE measured_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON measured_run TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON measured_run TO validator_server;

-- The newest value of each metric of a report, its state and its trend. Values are whole millionths.
CREATE TABLE indicator (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    report_id     uuid        NOT NULL,
    metric        text        NOT NULL,
    phase         text        NOT NULL CHECK (phase IN ('', 'input', 'output')),
    subject       text        NOT NULL,
    name          text        NOT NULL DEFAULT '',
    state         text        NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'warning', 'critical')),
    better        int         NOT NULL DEFAULT 0,
    since         timestamptz NOT NULL,
    threshold_id  uuid,
    number        bigint      NOT NULL DEFAULT 0,
    numerator     bigint      NOT NULL DEFAULT 0,
    denominator   bigint      NOT NULL DEFAULT 1,
    value         bigint      NOT NULL DEFAULT 0,
    previous      bigint,
    average       bigint      NOT NULL DEFAULT 0,
    slope         bigint,
    runs          int         NOT NULL DEFAULT 0,
    run_id        uuid,
    business_date date,
    measured_at   timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX indicator_report ON indicator (tenant_id, report_id, id);
CREATE INDEX indicator_state ON indicator (tenant_id, state, id);
ALTER TABLE indicator ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON indicator TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON indicator TO validator_server;

CREATE TABLE indicator_value (
    tenant_id     uuid        NOT NULL,
    indicator_id  uuid        NOT NULL,
    number        bigint      NOT NULL,
    run_id        uuid        NOT NULL,
    business_date date        NOT NULL,
    numerator     bigint      NOT NULL,
    denominator   bigint      NOT NULL,
    value         bigint      NOT NULL,
    state         text        NOT NULL CHECK (state IN ('ok', 'warning', 'critical')),
    measured_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, indicator_id, number),
    FOREIGN KEY (tenant_id, indicator_id) REFERENCES indicator (tenant_id, id)
);
ALTER TABLE indicator_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON indicator_value TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, DELETE ON indicator_value TO validator_server;

CREATE TABLE indicator_threshold (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    metric     text        NOT NULL,
    report_id  uuid,
    subject    text        NOT NULL,
    spec       jsonb       NOT NULL,
    revision   int         NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX indicator_threshold_scope ON indicator_threshold (tenant_id, metric, report_id, subject) NULLS NOT DISTINCT;
ALTER TABLE indicator_threshold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON indicator_threshold TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON indicator_threshold TO validator_server;
