-- Tables that every service has. {service} is the service's name and its schema.

CREATE TABLE outbox (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    event_id   uuid        NOT NULL,
    subject    text        NOT NULL CHECK (length(subject) <= 400),
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON outbox (position) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY relay ON outbox TO {service}_relay USING (true) WITH CHECK (true);
GRANT INSERT ON outbox TO {service}_server;
GRANT SELECT, DELETE ON outbox TO {service}_relay;
GRANT UPDATE (sent_at) ON outbox TO {service}_relay;

CREATE TABLE entity_sequence (
    tenant_id uuid   NOT NULL,
    entity_id text   NOT NULL,
    value     bigint NOT NULL,
    PRIMARY KEY (tenant_id, entity_id)
);
ALTER TABLE entity_sequence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON entity_sequence TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON entity_sequence TO {service}_server;

CREATE TABLE idempotency (
    tenant_id    uuid        NOT NULL,
    client       text        NOT NULL,
    route        text        NOT NULL,
    key          text        NOT NULL CHECK (length(key) <= 200),
    body_sha256  bytea       NOT NULL,
    status       int,
    headers      jsonb,
    body         bytea,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, client, route, key)
);
CREATE INDEX idempotency_age ON idempotency (tenant_id, created_at);
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO {service}_server;

-- What auth's events said of tenants: a suspended one starts nothing.
CREATE TABLE tenant_state (
    tenant_id uuid        PRIMARY KEY,
    status    text        NOT NULL CHECK (status IN ('active', 'suspended')),
    since     timestamptz NOT NULL
);
ALTER TABLE tenant_state ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_state TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON tenant_state TO {service}_server;

-- Where this service's readers stand in the bus's streams; no tenant's data (listed in roles.sql).
CREATE TABLE reader_position (
    reader     text        PRIMARY KEY,
    position   bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE ON reader_position TO {service}_server;
