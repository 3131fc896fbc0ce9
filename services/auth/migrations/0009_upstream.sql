-- Login by a tenant's own identity provider (OpenID Connect). A person there is known by provider and subject, never by
-- an address.

CREATE TABLE identity_provider (
    tenant_id             uuid        NOT NULL REFERENCES tenant,
    id                    uuid        NOT NULL,
    name                  text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    issuer                text        NOT NULL CHECK (length(issuer) BETWEEN 1 AND 500),  -- never changes: subjects are its own
    client_id             text        NOT NULL CHECK (length(client_id) BETWEEN 1 AND 300),
    sealed                bytea       NOT NULL,  -- the client's secret
    scopes                text[]      NOT NULL,
    domains               text[]      NOT NULL,
    provisions            boolean     NOT NULL,  -- people of these domains become members at their first login
    roles                 text[]      NOT NULL,  -- what they get then
    trusts_second_factor  boolean     NOT NULL,
    acr_values            text[]      NOT NULL,
    enabled               boolean     NOT NULL,
    revision              integer     NOT NULL,
    created_at            timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    CHECK (NOT provisions OR (cardinality(domains) > 0 AND cardinality(roles) > 0))
);

-- Who somebody at a provider is here: one person each way.
CREATE TABLE upstream_identity (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    provider_id  uuid        NOT NULL,
    subject      text        NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id      uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, provider_id, subject),
    UNIQUE (tenant_id, provider_id, user_id),
    FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_provider (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES membership (tenant_id, id)
);
CREATE INDEX upstream_identity_user ON upstream_identity (tenant_id, user_id);

-- A browser on its way to a provider and back, by the hash of its state; bound to the hash of a cookie.
CREATE TABLE upstream_trip (
    tenant_id     uuid        NOT NULL,
    sha256        bytea       NOT NULL CHECK (length(sha256) = 32),
    provider_id   uuid        NOT NULL,
    browser       bytea       NOT NULL CHECK (length(browser) = 32),
    purpose       text        NOT NULL CHECK (purpose IN ('login', 'link', 'join')),
    query         text,  -- login: the client's request to go on with
    user_id       uuid,  -- link: who asked, and by which login
    grant_id      uuid,
    invitation_id uuid,  -- join: which invitation, and under which name
    name          text,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    PRIMARY KEY (tenant_id, sha256),
    FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_provider (tenant_id, id) ON DELETE CASCADE,
    CHECK ((purpose = 'login') = (query IS NOT NULL)),
    CHECK ((purpose = 'link') = (user_id IS NOT NULL AND grant_id IS NOT NULL)),
    CHECK ((purpose = 'join') = (invitation_id IS NOT NULL AND name IS NOT NULL))
);
CREATE INDEX upstream_trip_age ON upstream_trip (tenant_id, expires_at);

-- What came of a login by a provider ends with it.
ALTER TABLE access_grant ADD COLUMN upstream_id uuid;
ALTER TABLE authorization_code ADD COLUMN upstream_id uuid;
ALTER TABLE device_authorization ADD COLUMN upstream_id uuid;
ALTER TABLE pending_login ADD COLUMN upstream_id uuid;
CREATE INDEX access_grant_upstream ON access_grant (tenant_id, upstream_id) WHERE upstream_id IS NOT NULL;

-- Who came by a provider has no password until they choose one by mail.
ALTER TABLE identity ALTER COLUMN password_hash DROP NOT NULL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['identity_provider', 'upstream_identity', 'upstream_trip'] LOOP
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
