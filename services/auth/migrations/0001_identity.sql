-- Who there is, what they may do, and on which grounds they hold tokens.
-- Tokens and client secrets are random and kept as SHA-256 only; passwords as argon2id.

CREATE TABLE tenant (
    tenant_id  uuid        PRIMARY KEY,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status     text        NOT NULL CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL
);

-- A person, found by the normalised address; what a tenant knows of them is their membership.
CREATE TABLE identity (
    id            uuid        PRIMARY KEY,
    email         text        NOT NULL UNIQUE CHECK (length(email) BETWEEN 3 AND 254),
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL
);
GRANT SELECT, INSERT ON identity TO auth_server;
GRANT UPDATE (password_hash) ON identity TO auth_server;

CREATE TABLE membership (
    tenant_id  uuid        NOT NULL REFERENCES tenant,
    id         uuid        NOT NULL REFERENCES identity,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    roles      text[]      NOT NULL,
    status     text        NOT NULL CHECK (status IN ('active', 'disabled')),
    revision   int         NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX membership_id ON membership (id);  -- the look-up before a tenant is known

-- Roles that a tenant made itself; the predefined ones are code.
CREATE TABLE role (
    tenant_id   uuid        NOT NULL REFERENCES tenant,
    id          uuid        NOT NULL,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    permissions text[]      NOT NULL,
    revision    int         NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE access_grant (
    tenant_id    uuid        NOT NULL REFERENCES tenant,
    id           uuid        NOT NULL,
    subject      text        NOT NULL,
    method       text        NOT NULL CHECK (method IN ('password', 'setup', 'client_credentials')),
    address      text,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz,  -- a client's grant has none until it is revoked
    revoked_at   timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX access_grant_subject ON access_grant (tenant_id, subject, id);
CREATE INDEX access_grant_age ON access_grant (expires_at);  -- the keeper's clean-up

CREATE TABLE refresh_token (
    tenant_id  uuid        NOT NULL,
    grant_id   uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, grant_id, sha256),
    FOREIGN KEY (tenant_id, grant_id) REFERENCES access_grant (tenant_id, id) ON DELETE CASCADE
);

-- Grants whose access tokens may still be alive; read by the keeper, gone after `until`.
CREATE TABLE revocation (
    tenant_id uuid        NOT NULL,
    grant_id  uuid        NOT NULL,
    until     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, grant_id)
);

CREATE TABLE oauth_client (
    tenant_id  uuid        NOT NULL REFERENCES tenant,
    id         uuid        NOT NULL,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    roles      text[]      NOT NULL,
    grant_id   uuid        NOT NULL,
    revision   int         NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, grant_id) REFERENCES access_grant (tenant_id, id)
);
CREATE UNIQUE INDEX oauth_client_id ON oauth_client (id);  -- the look-up before a tenant is known

-- More than one while a rotation overlaps.
CREATE TABLE client_secret (
    tenant_id  uuid        NOT NULL,
    client_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, client_id, sha256),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_client (tenant_id, id) ON DELETE CASCADE
);

-- One-time links that make a first tenant; they belong to the system tenant.
CREATE TABLE setup_link (
    tenant_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, sha256)
);

-- Secrets of auth itself, sealed; they belong to the system tenant.
CREATE TABLE own_secret (
    tenant_id  uuid        NOT NULL,
    name       text        NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- next: published, not yet signing; active: signs; retiring: still verifies, its private part destroyed.
CREATE TABLE signing_key (
    kid          text        PRIMARY KEY,
    jwk          jsonb       NOT NULL,
    sealed       bytea,
    state        text        NOT NULL CHECK (state IN ('next', 'active', 'retiring')),
    created_at   timestamptz NOT NULL,
    published_at timestamptz,
    activated_at timestamptz,
    retired_at   timestamptz,
    CHECK ((sealed IS NULL) = (state = 'retiring'))
);
CREATE UNIQUE INDEX signing_key_active ON signing_key (state) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_next ON signing_key (state) WHERE state = 'next';
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_key TO auth_server;

-- One row per try that may yet fail; `bucket` is a keyed hash of the account or of the address.
CREATE TABLE login_attempt (
    bucket bytea       NOT NULL,
    id     uuid        NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX login_attempt_age ON login_attempt (at);
GRANT SELECT, INSERT, DELETE ON login_attempt TO auth_server;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant', 'membership', 'role', 'access_grant', 'refresh_token', 'revocation',
                                'oauth_client', 'client_secret', 'setup_link', 'own_secret'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I TO auth_server
            USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
            WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO auth_server', name);
    END LOOP;
END
$$;
GRANT DELETE ON role, oauth_client TO auth_server;

-- Before the tenant is known, rows are found by what was presented, never listed.
CREATE POLICY own ON membership FOR SELECT TO auth_server
    USING (id = (SELECT nullif(current_setting('app.user_id', true), '')::uuid));
CREATE POLICY own ON tenant FOR SELECT TO auth_server
    USING (tenant_id IN (SELECT m.tenant_id FROM membership m
                         WHERE m.id = (SELECT nullif(current_setting('app.user_id', true), '')::uuid)));
CREATE POLICY presented ON oauth_client FOR SELECT TO auth_server
    USING (id = (SELECT nullif(current_setting('app.client_id', true), '')::uuid));

CREATE POLICY keeper ON tenant FOR SELECT TO auth_keeper USING (true);
CREATE POLICY keeper ON revocation TO auth_keeper USING (true);
CREATE POLICY keeper ON data_key TO auth_keeper USING (true) WITH CHECK (true);
CREATE POLICY keeper ON access_grant TO auth_keeper USING (expires_at < now() - interval '30 days');
GRANT SELECT (tenant_id, name, status, created_at) ON tenant TO auth_keeper;
GRANT SELECT, DELETE ON revocation TO auth_keeper;
GRANT SELECT (tenant_id, key_id, wrapped) ON data_key TO auth_keeper;
GRANT UPDATE (key_id, wrapped) ON data_key TO auth_keeper;
GRANT SELECT (tenant_id, id, expires_at), DELETE ON access_grant TO auth_keeper;
GRANT SELECT, DELETE ON key_canary TO auth_keeper;
