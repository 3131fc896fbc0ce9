-- A list of exceptions asks which of the tenant's validations wait or are under way; those of all others are none of it.
-- Not by status: the engine, which does not know that who has many jobs has few that wait, would take job_open for it.
CREATE INDEX job_waiting ON job (tenant_id) WHERE ended_at IS NULL;
