-- Who may touch this schema. Runs as an administrator, again and again; passwords are set elsewhere.
-- Grants on tables stand beside the tables, in migrations.

-- global: reader_position  reason: stream positions of this service's readers, no tenant's data
-- global: key_canary  reason: a known text under each key-encryption key, no tenant's data
-- global: identity  reason: one person has one password, whatever tenants they belong to; found by the exact address only
-- global: signing_key  reason: one issuer signs for every tenant; private parts are sealed under the key ring
-- global: login_attempt  reason: counts tries per account and address before any tenant is known; keyed hashes only
-- global: used_challenge  reason: hashes of solved challenges, so that none counts twice, whoever solved it
-- global: second_factor  reason: a factor is the person's, whatever the tenants; secrets are sealed for the system tenant
-- global: recovery_code  reason: the same for the codes that stand in for it; keyed hashes only
-- global: pending_login  reason: a login between its two steps, found by the hash of its token, gone in minutes
-- worker: auth_relay  table: outbox  reason: publishes every tenant's events in commit order
-- worker: auth_keeper  table: tenant  reason: tells every process which tenants are suspended; lists tenants for the operator
-- worker: auth_keeper  table: revocation  reason: tells every process which grants are void; forgets them when their tokens are dead
-- worker: auth_keeper  table: data_key  reason: wraps every tenant's data key anew when the key ring has another active key
-- worker: auth_keeper  table: access_grant  reason: removes grants of every tenant long after they ended
-- worker: auth_mailer  table: mail  reason: claims every tenant's mail that is due, and forgets what was settled long ago; reads no text and no address
-- worker: auth_server  table: membership  reason: a person who has shown the password sees their own memberships, to choose a tenant
-- worker: auth_server  table: tenant  reason: the same person sees the names of these tenants
-- worker: auth_server  table: oauth_client  reason: a client is found by the id that it presents, before its tenant is known

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['auth_owner', 'auth_server', 'auth_relay', 'auth_keeper', 'auth_mailer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION auth_owner;
GRANT USAGE ON SCHEMA auth TO auth_server, auth_relay, auth_keeper, auth_mailer;
