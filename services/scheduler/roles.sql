-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- worker: scheduler_claimer  table: schedule  reason: finds due schedules of all tenants; sees and sets only when they are due and claimed
-- worker: scheduler_relay  table: outbox  reason: publishes every tenant's events in commit order

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['scheduler_owner', 'scheduler_server', 'scheduler_relay', 'scheduler_claimer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS scheduler AUTHORIZATION scheduler_owner;
GRANT USAGE ON SCHEMA scheduler TO scheduler_server, scheduler_relay, scheduler_claimer;
