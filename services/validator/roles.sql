-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- worker: validator_claimer  table: job  reason: finds jobs of all tenants that nobody works on; sees only that they are queued
-- worker: validator_claimer  table: transform_job  reason: the same for transforms; sees when they were asked for as well, to be fair
-- worker: validator_claimer  table: decision  reason: finds waivers of all tenants, proposed or in force, whose last day is past; sees no more of them
-- worker: validator_relay  table: outbox  reason: publishes every tenant's events in commit order

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['validator_owner', 'validator_server', 'validator_relay', 'validator_claimer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS validator AUTHORIZATION validator_owner;
GRANT USAGE ON SCHEMA validator TO validator_server, validator_relay, validator_claimer;
