-- Mail that accounts cause: written with what causes it, sent by a worker of its own.
-- Recipient, texts and links are sealed: a link is as good as a password until it is used.

CREATE TABLE mail (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    template   text        NOT NULL,
    sealed     bytea,
    state      text        NOT NULL CHECK (state IN ('waiting', 'sent', 'dead', 'void')),
    attempts   int         NOT NULL,
    due_at     timestamptz NOT NULL,  -- while a sender has it: when another may take it over
    expires_at timestamptz,           -- a link that is dead by then is not sent
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    reason     text,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX mail_due ON mail (due_at) WHERE state = 'waiting';
CREATE INDEX mail_settled ON mail (settled_at) WHERE settled_at IS NOT NULL;
ALTER TABLE mail ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail TO auth_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY mailer ON mail TO auth_mailer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON mail TO auth_server;
GRANT SELECT (tenant_id, id, template, state, attempts, due_at, created_at, settled_at, reason), DELETE ON mail TO auth_mailer;
GRANT UPDATE (attempts, due_at) ON mail TO auth_mailer;
