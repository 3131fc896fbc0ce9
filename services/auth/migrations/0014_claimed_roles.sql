-- Roles that an identity provider gives by a claim, and takes away with it: which values give which, and who answers for
-- that. Nothing given goes beyond what whoever set the terms may do at that moment.
ALTER TABLE identity_provider
    ADD COLUMN roles_claim   text  CHECK (length(roles_claim) BETWEEN 1 AND 200),
    ADD COLUMN claimed_roles jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN set_by        text;  -- none: from before this was kept

-- What the claim has given so far; what an administrator gave is none of it, and is never taken away by a claim.
ALTER TABLE upstream_identity ADD COLUMN given_roles text[] NOT NULL DEFAULT ARRAY[]::text[];
