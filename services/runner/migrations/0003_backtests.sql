-- Backtests: past runs judged and transformed again with a draft in place of what was published, and compared.

-- What the runner knows of drafts that others own, filled from their events.
CREATE TABLE known_draft (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    kind       text NOT NULL,
    name       text NOT NULL,
    revision   int  NOT NULL,
    number     int  NOT NULL,
    object_key text NOT NULL,
    sha256     text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE known_draft ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON known_draft TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON known_draft TO runner_server;

CREATE TABLE backtest (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    kind          text        NOT NULL CHECK (kind IN ('rule', 'mapping', 'schema')),
    definition_id uuid        NOT NULL,
    name          text        NOT NULL,
    draft         jsonb       NOT NULL,
    sha256        text        NOT NULL,
    proposal_id   uuid,
    report_id     uuid,
    last          int         NOT NULL CHECK (last BETWEEN 1 AND 30),
    runs          int         NOT NULL CHECK (runs >= 0),
    failed        int         NOT NULL DEFAULT 0,
    status        text        NOT NULL CHECK (status IN ('running', 'completed')),
    counts        jsonb       NOT NULL DEFAULT '{}',
    created_by    text        NOT NULL,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((status = 'completed') = (ended_at IS NOT NULL))
);
CREATE INDEX backtest_newest ON backtest (tenant_id, created_at DESC, id DESC);
CREATE INDEX backtest_by_definition ON backtest (tenant_id, definition_id, created_at DESC, id DESC);
ALTER TABLE backtest ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON backtest TO runner_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON backtest TO runner_server;

-- The draft that a backtest's run uses in place of the published version. No run refers to a backtest yet, and the owner,
-- who sees no tenant's rows, could not look.
ALTER TABLE run
    ADD COLUMN backtest_id uuid,
    ADD COLUMN draft jsonb,
    ADD FOREIGN KEY (tenant_id, backtest_id) REFERENCES backtest (tenant_id, id) NOT VALID,
    ADD CHECK ((kind = 'backtest') = (backtest_id IS NOT NULL)),
    ADD CHECK ((backtest_id IS NULL) = (draft IS NULL));
CREATE INDEX run_of_backtest ON run (tenant_id, backtest_id, created_at, id) WHERE backtest_id IS NOT NULL;
