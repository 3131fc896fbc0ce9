-- What people do to their own accounts: links that come by mail, and invitations into a tenant.

-- A link works once, until it expires or a newer one for the same purpose and address comes. They belong to the system
-- tenant. One that stands in for an address without an account names no person, and its token went nowhere.
CREATE TABLE account_link (
    tenant_id   uuid        NOT NULL,
    sha256      bytea       NOT NULL CHECK (length(sha256) = 32),
    purpose     text        NOT NULL CHECK (purpose IN ('signup', 'reset', 'email')),
    mark        bytea       NOT NULL CHECK (length(mark) = 32),  -- a keyed hash of the address
    identity_id uuid,
    sealed      bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX account_link_mark ON account_link (tenant_id, purpose, mark);
CREATE INDEX account_link_identity ON account_link (tenant_id, identity_id);

CREATE TABLE invitation (
    tenant_id  uuid        NOT NULL REFERENCES tenant,
    id         uuid        NOT NULL,
    email      text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    roles      text[]      NOT NULL,
    invited_by text        NOT NULL,
    sha256     bytea       NOT NULL CHECK (length(sha256) = 32),
    state      text        NOT NULL CHECK (state IN ('open', 'accepted', 'revoked')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX invitation_open ON invitation (tenant_id, email) WHERE state = 'open';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['account_link', 'invitation'] LOOP
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
GRANT DELETE ON account_link TO auth_server;
GRANT UPDATE (email) ON identity TO auth_server;
