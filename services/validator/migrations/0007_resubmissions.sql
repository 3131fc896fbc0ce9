-- Records that were sent again: which, by whom, in what run, and what came of it.

CREATE TABLE resubmission (
    tenant_id         uuid        NOT NULL,
    id                uuid        NOT NULL,
    run_id            uuid        NOT NULL,
    report_id         uuid        NOT NULL,
    business_date     date        NOT NULL,
    correction_run_id uuid        NOT NULL,
    ordinals          bigint[]    NOT NULL,
    records           int         NOT NULL,
    versions          text        NOT NULL CHECK (versions IN ('pinned', 'latest')),
    comment           text        NOT NULL,
    status            text        NOT NULL CHECK (status IN ('requested', 'ended')),
    run_status        text,
    reported          int,
    reopened          int,
    requested_by      text        NOT NULL,
    requested_at      timestamptz NOT NULL,
    ended_at          timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((status = 'ended') = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX resubmission_correction ON resubmission (tenant_id, correction_run_id);
CREATE INDEX resubmission_of_run ON resubmission (tenant_id, run_id, id);
ALTER TABLE resubmission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON resubmission TO validator_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON resubmission TO validator_server;

ALTER TABLE exception DROP CONSTRAINT exception_resolution_check;
ALTER TABLE exception
    ADD CONSTRAINT exception_resolution_check CHECK (resolution IN ('reported', 'filtered', 'passed'));
