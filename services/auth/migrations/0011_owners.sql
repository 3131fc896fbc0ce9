-- Whoever registers a client answers for it: it never may do more than they may, and nothing once they are gone.
-- None: an operator made it on the machine itself. No foreign key: who leaves a tenant is no longer in it, and a null
-- in their place would set the client free.
ALTER TABLE oauth_client ADD COLUMN owner_id uuid;
CREATE INDEX oauth_client_owner ON oauth_client (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

-- A member goes altogether; the person stays, who may be in other tenants.
GRANT DELETE ON membership TO auth_server;
