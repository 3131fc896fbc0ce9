-- Exceptions as a queue: who works on them, what was decided, how many there are of each kind.

ALTER TABLE exception DROP CONSTRAINT exception_status_check;
ALTER TABLE exception
    ADD CONSTRAINT exception_status_check CHECK (status IN ('open', 'amended', 'waived', 'resubmitted', 'closed')),
    ADD COLUMN revision        int         NOT NULL DEFAULT 1,
    ADD COLUMN assignee        uuid,
    ADD COLUMN evidence        uuid,
    ADD COLUMN grouped         boolean     NOT NULL DEFAULT false,
    ADD COLUMN due_at          timestamptz,
    ADD COLUMN changed_at      timestamptz,
    ADD COLUMN resolution      text        CHECK (resolution IN ('reported', 'filtered')),
    ADD COLUMN decision_id     uuid,
    ADD COLUMN proposal_id     uuid,
    ADD COLUMN resubmission_id uuid,
    ADD CONSTRAINT exception_resolution CHECK ((status = 'closed') = (resolution IS NOT NULL));
COMMENT ON COLUMN exception.evidence IS 'hash of rule and offending values: what exceptions of one cause share';
COMMENT ON COLUMN exception.grouped IS 'whether its cause is counted by itself in exception_tally';
GRANT UPDATE ON exception TO validator_server;

-- Every list is one of these read in order; one without a status merges the statuses' parts.
DROP INDEX exception_report, exception_run_rule;
CREATE INDEX exception_by_status ON exception (tenant_id, status, opened_at, id);
CREATE INDEX exception_by_run ON exception (tenant_id, run_id, status, opened_at, id);
CREATE INDEX exception_by_run_rule ON exception (tenant_id, run_id, rule_id, status, opened_at, id);
CREATE INDEX exception_by_report ON exception (tenant_id, report_id, status, opened_at, id);
CREATE INDEX exception_by_report_rule ON exception (tenant_id, report_id, rule_id, status, opened_at, id);
CREATE INDEX exception_by_rule ON exception (tenant_id, rule_id, status, opened_at, id);
CREATE INDEX exception_by_day ON exception (tenant_id, business_date, status, opened_at, id);
CREATE INDEX exception_by_assignee ON exception (tenant_id, assignee, status, opened_at, id) WHERE assignee IS NOT NULL;
CREATE INDEX exception_by_evidence ON exception (tenant_id, evidence, status, opened_at, id) WHERE evidence IS NOT NULL;
CREATE INDEX exception_by_key ON exception (tenant_id, key, opened_at, id);
CREATE INDEX exception_by_resubmission ON exception (tenant_id, resubmission_id, opened_at, id)
    WHERE resubmission_id IS NOT NULL;

-- Exceptions by a value of theirs: `term` is a hash of field and value.
CREATE TABLE exception_term (
    tenant_id    uuid        NOT NULL,
    term         bigint      NOT NULL,
    opened_at    timestamptz NOT NULL,
    exception_id uuid        NOT NULL,
    PRIMARY KEY (tenant_id, term, opened_at, exception_id)
);
ALTER TABLE exception_term ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exception_term TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON exception_term TO validator_server;

-- How many exceptions of a scope (a run, a report, or the nil UUID: all of the tenant's) failed a rule (the nil
-- evidence) or failed it with the same values, by status; changed in the transactions that change exceptions.
CREATE TABLE exception_tally (
    tenant_id    uuid   NOT NULL,
    scope        uuid   NOT NULL,
    rule_id      text   NOT NULL,
    phase        text   NOT NULL CHECK (phase IN ('input', 'output')),
    evidence     uuid   NOT NULL,
    rule_name    text   NOT NULL,
    rule_version int    NOT NULL,
    fields       jsonb  NOT NULL,
    open         bigint NOT NULL,
    amended      bigint NOT NULL,
    waived       bigint NOT NULL,
    resubmitted  bigint NOT NULL,
    closed       bigint NOT NULL,
    PRIMARY KEY (tenant_id, scope, rule_id, phase, evidence)
) WITH (fillfactor = 70);
CREATE INDEX exception_tally_rules ON exception_tally (tenant_id, scope)
    WHERE evidence = '00000000-0000-0000-0000-000000000000';
CREATE INDEX exception_tally_causes ON exception_tally (tenant_id, scope, rule_id, phase, open DESC)
    WHERE evidence <> '00000000-0000-0000-0000-000000000000';

-- What was opened before there were counts is counted once; the table's owner is let see it for that.
ALTER TABLE exception NO FORCE ROW LEVEL SECURITY;
INSERT INTO exception_tally
SELECT tenant_id, scope, rule_id, phase, '00000000-0000-0000-0000-000000000000', max(rule_name), max(rule_version), '{}',
       count(*), 0, 0, 0, 0
FROM exception, unnest(ARRAY[run_id, report_id, '00000000-0000-0000-0000-000000000000'::uuid]) AS scope
GROUP BY tenant_id, scope, rule_id, phase;
ALTER TABLE exception FORCE ROW LEVEL SECURITY;

ALTER TABLE exception_tally ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exception_tally TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON exception_tally TO validator_server;

-- Who did what to an exception, when; comments stand among it.
CREATE TABLE exception_history (
    tenant_id    uuid        NOT NULL,
    exception_id uuid        NOT NULL,
    id           uuid        NOT NULL DEFAULT uuidv7(),
    at           timestamptz NOT NULL,
    actor        text        NOT NULL,
    action       text        NOT NULL,
    old          jsonb       NOT NULL,
    new          jsonb       NOT NULL,
    comment      text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, exception_id, id),
    FOREIGN KEY (tenant_id, exception_id) REFERENCES exception (tenant_id, id)
);
ALTER TABLE exception_history ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exception_history TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON exception_history TO validator_server;

-- How a tenant wants its exceptions handled.
CREATE TABLE exception_policy (
    tenant_id     uuid        PRIMARY KEY,
    second_person boolean     NOT NULL,
    due_hours     int         NOT NULL CHECK (due_hours BETWEEN 1 AND 8760),
    revision      int         NOT NULL,
    changed_by    text        NOT NULL,
    changed_at    timestamptz NOT NULL
);
ALTER TABLE exception_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exception_policy TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON exception_policy TO validator_server;

-- Work of other kinds than validations goes through the same queue.
ALTER TABLE job ADD COLUMN task text NOT NULL DEFAULT 'validate';
CREATE INDEX job_by_run ON job (tenant_id, run_id);
