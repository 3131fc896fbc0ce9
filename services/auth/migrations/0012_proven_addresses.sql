-- Whether anybody has shown that they read an account's mail: by a link that came by it, since the address is theirs.
-- None: nobody has, or it was before this was kept; the next such link shows it.
ALTER TABLE identity ADD COLUMN email_proven_at timestamptz;
GRANT UPDATE (email_proven_at) ON identity TO auth_server;

-- The address that a tenant's identity provider says it has verified of somebody: its word, so it counts in its tenant.
ALTER TABLE upstream_identity ADD COLUMN verified_email text CHECK (length(verified_email) BETWEEN 3 AND 254);
