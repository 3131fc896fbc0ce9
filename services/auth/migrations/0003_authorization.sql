-- The authorization server: what clients may do, and what is on its way between a browser, a client and a token.
-- Codes, sessions, pushed requests and device codes are random and kept as SHA-256 only.

ALTER TABLE oauth_client
    ADD COLUMN kind          text    NOT NULL DEFAULT 'confidential' CHECK (kind IN ('confidential', 'public')),
    ADD COLUMN grant_types   text[]  NOT NULL DEFAULT ARRAY['client_credentials'],
    ADD COLUMN redirect_uris text[]  NOT NULL DEFAULT ARRAY[]::text[],
    ADD COLUMN scopes        text[],  -- none: whatever its roles or its user may do
    ADD COLUMN jwks          jsonb,   -- public keys: the client authenticates by private_key_jwt and nothing else
    ADD COLUMN require_par   boolean NOT NULL DEFAULT false,
    ADD COLUMN dpop          boolean NOT NULL DEFAULT false;

-- A user's grant may belong to a client, for a scope, bound to a key.
ALTER TABLE access_grant
    ADD COLUMN client_id uuid,
    ADD COLUMN scope     text[],
    ADD COLUMN jkt       text,
    DROP CONSTRAINT access_grant_method_check,
    ADD CONSTRAINT access_grant_method_check CHECK (method <> '');  -- the code knows which there are
CREATE INDEX access_grant_client ON access_grant (tenant_id, client_id, subject) WHERE client_id IS NOT NULL;

-- A browser that somebody is logged in with; the login itself is a grant, and ends with it.
CREATE TABLE browser_session (
    tenant_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    grant_id   uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256),
    FOREIGN KEY (tenant_id, grant_id) REFERENCES access_grant (tenant_id, id) ON DELETE CASCADE
);

-- Kept after its use, so that a second use is seen; `grant_id` is what the first gave.
CREATE TABLE authorization_code (
    tenant_id    uuid        NOT NULL,
    sha256       bytea       NOT NULL CHECK (length(sha256) = 32),
    client_id    uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    redirect_uri text        NOT NULL,
    challenge    text        NOT NULL,
    scope        text[]      NOT NULL,
    nonce        text,
    jkt          text,
    auth_time    timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    grant_id     uuid,
    PRIMARY KEY (tenant_id, sha256),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_client (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE pushed_request (
    tenant_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    client_id  uuid        NOT NULL,
    parameters jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    opened_at  timestamptz,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, sha256),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_client (tenant_id, id) ON DELETE CASCADE
);

-- `user_code` is a keyed hash: what a person types is too short for a plain one.
CREATE TABLE device_authorization (
    tenant_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    user_code  bytea       NOT NULL CHECK (length(user_code) = 32),
    client_id  uuid        NOT NULL,
    scope      text[]      NOT NULL,
    status     text        NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'used')),
    user_id    uuid,
    auth_time  timestamptz,
    polled_at  timestamptz,
    wait       integer     NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256),
    UNIQUE (tenant_id, user_code),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_client (tenant_id, id) ON DELETE CASCADE
);

-- Identifiers that count once: of client assertions and of DPoP proofs.
CREATE TABLE seen_identifier (
    tenant_id  uuid        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX seen_identifier_age ON seen_identifier (tenant_id, expires_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['browser_session', 'authorization_code', 'pushed_request', 'device_authorization',
                                'seen_identifier'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I TO auth_server
            USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
            WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO auth_server', name);
    END LOOP;
END
$$;
