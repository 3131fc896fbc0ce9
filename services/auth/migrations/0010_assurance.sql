-- How people have shown who they are, and since when a tenant asks for more than a password.

-- RFC 8176; empty where it is a client's own grant, or a login from before this was kept.
ALTER TABLE access_grant ADD COLUMN amr text[] NOT NULL DEFAULT ARRAY[]::text[];
ALTER TABLE authorization_code ADD COLUMN amr text[] NOT NULL DEFAULT ARRAY[]::text[];
ALTER TABLE device_authorization ADD COLUMN amr text[] NOT NULL DEFAULT ARRAY[]::text[];

-- Logins without a second factor go on until then where the tenant requires one; empty: they end at once.
ALTER TABLE tenant ADD COLUMN second_factor_from timestamptz;

-- Whether the password may be the only factor: long enough when it was set. Its length is kept nowhere.
ALTER TABLE identity ADD COLUMN password_alone boolean NOT NULL DEFAULT true;
GRANT UPDATE (password_alone) ON identity TO auth_server;
