-- Runs and what became of them: steps, balances, verdicts, artifacts, deliveries, progress.

CREATE TABLE run (
    tenant_id        uuid        NOT NULL,
    id               uuid        NOT NULL,
    report_id        uuid        NOT NULL,
    report_version   int,
    report_name      text        NOT NULL DEFAULT '',
    business_date    date        NOT NULL,
    as_of            timestamptz NOT NULL,
    trigger          text        NOT NULL CHECK (trigger IN ('manual', 'schedule', 'rerun')),
    parent_id        uuid,
    rules_of         uuid,
    schedule_id      uuid,
    nominal_time     timestamptz,
    calendar_id      uuid,
    calendar_version int,
    status           text        NOT NULL CHECK (status IN ('waiting', 'queued', 'running', 'validating',
                                                            'succeeded', 'partial', 'failed', 'cancelled')),
    step             text        NOT NULL DEFAULT '',
    code             text        NOT NULL DEFAULT '',
    reason           text        NOT NULL DEFAULT '',
    pins             jsonb       NOT NULL DEFAULT '[]',
    fence            bigint      NOT NULL DEFAULT 0,
    attempts         int         NOT NULL DEFAULT 0,
    worker           text        NOT NULL DEFAULT '',
    lease_until      timestamptz,
    waiting_until    timestamptz,
    cancel_asked     boolean     NOT NULL DEFAULT false,
    delivering       boolean     NOT NULL DEFAULT false,
    records_in       bigint,
    records_out      bigint,
    records_held     bigint,
    correlation_id   text,
    traceparent      text,
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    ended_at         timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES run (tenant_id, id),
    CHECK ((status IN ('succeeded', 'partial', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK ((lease_until IS NULL) = (ended_at IS NOT NULL)),
    CHECK (status IN ('waiting', 'failed', 'cancelled') OR report_version IS NOT NULL)
);
CREATE INDEX run_newest ON run (tenant_id, created_at DESC, id DESC);
CREATE INDEX run_by_status ON run (tenant_id, status, created_at DESC, id DESC);
CREATE INDEX run_by_report ON run (tenant_id, report_id, created_at DESC, id DESC);
CREATE INDEX run_by_date ON run (tenant_id, report_id, business_date, created_at DESC, id DESC);
CREATE INDEX run_by_day ON run (tenant_id, business_date, created_at DESC, id DESC);
CREATE INDEX run_children ON run (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX run_due ON run (tenant_id, lease_until) WHERE lease_until IS NOT NULL;
ALTER TABLE run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY reaper ON run FOR SELECT TO runner_reaper USING (true);
GRANT SELECT, INSERT, UPDATE ON run TO runner_server;
GRANT SELECT (tenant_id, id, status, lease_until) ON run TO runner_reaper;

CREATE TABLE run_step (
    tenant_id   uuid        NOT NULL,
    run_id      uuid        NOT NULL,
    step        text        NOT NULL CHECK (step IN ('extract', 'validate', 'transform', 'validate_output', 'render',
                                                     'deliver')),
    status      text        NOT NULL CHECK (status IN ('sealed', 'skipped', 'failed')),
    attempt     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    outputs     jsonb       NOT NULL DEFAULT '{}',
    facts       jsonb       NOT NULL DEFAULT '{}',
    code        text        NOT NULL DEFAULT '',
    message     text        NOT NULL DEFAULT '',
    reused_from uuid,
    PRIMARY KEY (tenant_id, run_id, step),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id)
);
ALTER TABLE run_step ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run_step TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON run_step TO runner_server;

-- Nothing disappears: each step's records in and created are all somewhere.
CREATE TABLE ledger (
    tenant_id   uuid     NOT NULL,
    run_id      uuid     NOT NULL,
    position    smallint NOT NULL,
    step        text     NOT NULL,
    records_in  bigint   NOT NULL CHECK (records_in >= 0),
    created     bigint   NOT NULL CHECK (created >= 0),
    records_out bigint   NOT NULL CHECK (records_out >= 0),
    held        bigint   NOT NULL CHECK (held >= 0),
    rejected    bigint   NOT NULL CHECK (rejected >= 0),
    filtered    bigint   NOT NULL CHECK (filtered >= 0),
    duplicate   bigint   NOT NULL CHECK (duplicate >= 0),
    merged      bigint   NOT NULL CHECK (merged >= 0),
    PRIMARY KEY (tenant_id, run_id, position),
    FOREIGN KEY (tenant_id, run_id, step) REFERENCES run_step (tenant_id, run_id, step),
    CONSTRAINT balances CHECK (records_in + created = records_out + held + rejected + filtered + duplicate + merged)
);
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ledger TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON ledger TO runner_server;

CREATE TABLE validation (
    tenant_id    uuid        NOT NULL,
    run_id       uuid        NOT NULL,
    phase        text        NOT NULL CHECK (phase IN ('input', 'output')),
    request_id   uuid        NOT NULL,
    status       text        NOT NULL CHECK (status IN ('requested', 'completed', 'failed')),
    requested_at timestamptz NOT NULL,
    ended_at     timestamptz,
    verdict      jsonb,
    PRIMARY KEY (tenant_id, run_id, phase),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id),
    CHECK ((status = 'requested') = (ended_at IS NULL))
);
ALTER TABLE validation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON validation TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON validation TO runner_server;

CREATE TABLE artifact (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    run_id     uuid        NOT NULL,
    name       text        NOT NULL,
    format     text        NOT NULL,
    object_key text        NOT NULL,
    sha256     text        NOT NULL,
    size       bigint      NOT NULL,
    records    bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, run_id, name),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id)
);
ALTER TABLE artifact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON artifact TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON artifact TO runner_server;

CREATE TABLE delivery (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    run_id         uuid        NOT NULL,
    artifact_id    uuid        NOT NULL,
    destination_id uuid        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    receipt        jsonb       NOT NULL DEFAULT '{}',
    code           text        NOT NULL DEFAULT '',
    reason         text        NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, run_id, artifact_id, destination_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id),
    FOREIGN KEY (tenant_id, artifact_id) REFERENCES artifact (tenant_id, id),
    CHECK ((status = 'pending') = (ended_at IS NULL))
);
ALTER TABLE delivery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON delivery TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON delivery TO runner_server;

-- What a run's followers see, in order; positions are gap-free, given under the run's row lock.
CREATE TABLE progress (
    tenant_id uuid        NOT NULL,
    run_id    uuid        NOT NULL,
    position  int         NOT NULL,
    name      text        NOT NULL,
    at        timestamptz NOT NULL,
    data      jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, run_id, position),
    FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id)
);
ALTER TABLE progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON progress TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON progress TO runner_server;

-- The last word: an ended run stays ended, a fence only grows, and no run ends well with an open balance.
CREATE FUNCTION guard_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open bigint;
    last bigint;
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'run % has ended as %', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'the fence of run % cannot fall', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status IN ('succeeded', 'partial') THEN
        SELECT count(*) FILTER (WHERE l.records_in <> l.before), max(l.records_out) FILTER (WHERE l.step = 'deliver')
        INTO open, last
        FROM (SELECT step, records_in, records_out, lag(records_out, 1, 0::bigint) OVER (ORDER BY position) AS before
              FROM ledger WHERE tenant_id = NEW.tenant_id AND run_id = NEW.id) AS l;
        IF open <> 0 OR last IS DISTINCT FROM NEW.records_out THEN
            RAISE EXCEPTION 'run % has an open balance', NEW.id USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_run BEFORE UPDATE ON run FOR EACH ROW EXECUTE FUNCTION guard_run();
