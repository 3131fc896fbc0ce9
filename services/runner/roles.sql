-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- worker: runner_relay  table: outbox  reason: publishes every tenant's events in commit order
-- worker: runner_reaper  table: run  reason: finds the runs of all tenants that wait for a worker or lost theirs, by their lease columns alone; each is then handled under its tenant

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['runner_owner', 'runner_server', 'runner_relay', 'runner_reaper'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS runner AUTHORIZATION runner_owner;
GRANT USAGE ON SCHEMA runner TO runner_server, runner_relay, runner_reaper;
