-- Second factors of a person, whatever the tenants; what is secret of them is sealed for the system tenant.
CREATE TABLE second_factor (
    id           uuid        PRIMARY KEY,
    identity_id  uuid        NOT NULL REFERENCES identity,
    kind         text        NOT NULL CHECK (kind IN ('totp', 'passkey')),
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    sealed       bytea,
    last_step    bigint      NOT NULL DEFAULT 0,  -- a code of this time step, or an earlier one, was used
    credential   bytea       UNIQUE,
    public_key   bytea,
    sign_count   bigint,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    CHECK ((kind = 'totp') = (sealed IS NOT NULL)),
    CHECK ((kind = 'passkey') = (credential IS NOT NULL AND public_key IS NOT NULL AND sign_count IS NOT NULL))
);
CREATE INDEX second_factor_identity ON second_factor (identity_id);
GRANT SELECT, INSERT, DELETE ON second_factor TO auth_server;
GRANT UPDATE (last_step, sign_count, confirmed_at) ON second_factor TO auth_server;

-- Keyed hashes of single-use codes for who has lost the factor.
CREATE TABLE recovery_code (
    identity_id uuid        NOT NULL REFERENCES identity,
    mark        bytea       NOT NULL CHECK (length(mark) = 32),
    used_at     timestamptz,
    PRIMARY KEY (identity_id, mark)
);
GRANT SELECT, INSERT, DELETE ON recovery_code TO auth_server;
GRANT UPDATE (used_at) ON recovery_code TO auth_server;

-- A login between its two steps, found by the hash of an unguessable token.
CREATE TABLE pending_login (
    sha256      bytea       PRIMARY KEY CHECK (length(sha256) = 32),
    identity_id uuid        NOT NULL REFERENCES identity,
    chosen      uuid        NOT NULL,  -- the tenant to enter
    expires_at  timestamptz NOT NULL,
    challenge   bytea,                 -- what a passkey has to sign
    used_at     timestamptz
);
CREATE INDEX pending_login_age ON pending_login (expires_at);
GRANT SELECT, INSERT, DELETE ON pending_login TO auth_server;
GRANT UPDATE (challenge, used_at) ON pending_login TO auth_server;

ALTER TABLE tenant ADD COLUMN second_factor text NOT NULL DEFAULT 'optional'
    CHECK (second_factor IN ('optional', 'required'));
