-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- global: key_canary  reason: a known text under each key-encryption key, no tenant's data
-- worker: catalog_relay  table: outbox  reason: publishes every tenant's events in commit order
-- worker: catalog_keeper  table: data_key  reason: wraps every tenant's data key anew when the key ring has another active key

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['catalog_owner', 'catalog_server', 'catalog_relay', 'catalog_keeper'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS catalog AUTHORIZATION catalog_owner;
GRANT USAGE ON SCHEMA catalog TO catalog_server, catalog_relay, catalog_keeper;
