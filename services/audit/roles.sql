-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- global: purged  reason: ranges of the event stream that a purge removed, no tenant's data
-- global: key_canary  reason: a known text under each key-encryption key, no tenant's data
-- global: last_message  reason: the last message read from the event stream, no tenant's data
-- worker: audit_relay  table: outbox  reason: publishes every tenant's events in commit order
-- worker: audit_signer  table: tree_head  reason: finds the trees of all tenants that grew since their last checkpoint; signs each under its tenant
-- worker: audit_server  table: signing_key  reason: public keys are for everyone; the sealed column is not granted
-- readable: signing_key  reason: the same: a trail is checked by the key that signed it
-- worker: audit_writer  table: entry  reason: appends the whole event stream; sets each group's tenant anew, under the same policy as everybody

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_owner', 'audit_server', 'audit_relay', 'audit_writer', 'audit_signer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION audit_owner;
GRANT USAGE ON SCHEMA audit TO audit_server, audit_relay, audit_writer, audit_signer;
