-- Whoever registers a client answers for it: it never may do more than they may, and nothing once they are gone.
-- None: an operator made it on the machine itself. No foreign key: who leaves a tenant is no longer in it, and a null
-- in their place would set the client free.
ALTER TABLE oauth_client ADD COLUMN owner_id uuid;
CREATE INDEX oauth_client_owner ON oauth_client (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

-- A member goes altogether; the person stays, who may be in other tenants.
GRANT DELETE ON membership TO auth_server;

-- A tenant's data key has versions: the newest seals, earlier ones open what is not sealed anew yet.
ALTER TABLE data_key
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    DROP CONSTRAINT data_key_pkey,
    ADD PRIMARY KEY (tenant_id, version);
GRANT SELECT (version), DELETE ON data_key TO auth_keeper;
GRANT UPDATE (sealed) ON second_factor TO auth_server;
