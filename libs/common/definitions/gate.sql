-- What stands between a draft and its publication where the tenant's policy says so: past data, a second person.

-- Who has changed the draft since the newest version: none of them may approve it.
ALTER TABLE definition ADD COLUMN makers text[] NOT NULL DEFAULT '{}';

CREATE TABLE publication_policy (
    tenant_id          uuid        NOT NULL PRIMARY KEY,
    require_backtest   text[]      NOT NULL,
    require_approval   text[]      NOT NULL,
    replayed_runs      int         NOT NULL CHECK (replayed_runs BETWEEN 1 AND 30),
    most_newly_failing bigint      CHECK (most_newly_failing >= 0),
    expires_days       int         NOT NULL CHECK (expires_days BETWEEN 1 AND 365),
    revision           int         NOT NULL,
    changed_at         timestamptz NOT NULL,
    changed_by         text        NOT NULL
);
ALTER TABLE publication_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON publication_policy TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON publication_policy TO {service}_server;

-- A draft that its makers want published: sealed as the version that it would be, decided about by hash.
CREATE TABLE proposal (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    kind           text        NOT NULL,
    definition_id  uuid        NOT NULL,
    number         int         NOT NULL,
    object_key     text        NOT NULL,
    sha256         text        NOT NULL,
    size           bigint      NOT NULL,
    effective_from date,
    status         text        NOT NULL CHECK (status IN ('awaiting_backtest', 'proposed', 'published', 'rejected',
                                                          'withdrawn', 'expired')),
    needs_approval boolean     NOT NULL,
    makers         text[]      NOT NULL,
    backtest_id    uuid,
    backtest       jsonb,
    proposed_by    text        NOT NULL,
    proposed_at    timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    decided_by     text,
    decided_at     timestamptz,
    comment        text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES definition (tenant_id, id) ON DELETE CASCADE,
    CHECK ((status IN ('awaiting_backtest', 'proposed')) = (decided_at IS NULL))
);
CREATE UNIQUE INDEX proposal_open ON proposal (tenant_id, definition_id)
    WHERE status IN ('awaiting_backtest', 'proposed');
CREATE INDEX proposal_history ON proposal (tenant_id, definition_id, proposed_at DESC, id DESC);
ALTER TABLE proposal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON proposal TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON proposal TO {service}_server;
