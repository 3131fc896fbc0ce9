"""S37: a service refuses to start where the database would not keep tenants apart; each way of being wrong is tried."""

from typing import Any

import pytest

from libs.common.database.guard import UnsafeDatabaseError, require_isolation
from tests.architecture import catalogue
from tests.architecture.source import SERVICES

# What somebody might do to a database, and what the service says then.
SPOILED = {
    "ALTER TABLE runner.run DISABLE ROW LEVEL SECURITY": "table run has no enabled and forced",
    "ALTER TABLE runner.run NO FORCE ROW LEVEL SECURITY": "table run has no enabled and forced",
    "DROP POLICY tenant ON runner.run; DROP POLICY reaper ON runner.run": "table run has no enabled and forced",
    "CREATE TABLE runner.unguarded (tenant_id uuid PRIMARY KEY)": "table unguarded has no enabled and forced",
    "ALTER POLICY tenant ON runner.run USING (true)": "policy tenant on table run does not compare .* in USING",
    "ALTER POLICY tenant ON runner.run WITH CHECK (true)": "policy tenant on table run does not compare .* in WITH CHECK",
    "DROP POLICY tenant ON runner.run; CREATE POLICY tenant ON runner.run TO runner_server USING (tenant_id = "
    "(SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))": "policy tenant on table run has no WITH CHECK",
    "CREATE POLICY also ON runner.run TO runner_server USING (true)": "policy also on table run does not compare",
    "CREATE POLICY also ON runner.run TO PUBLIC USING (true)": "policy also on table run does not compare",
    "CREATE POLICY also ON runner.run FOR INSERT TO runner_server WITH CHECK (true)": "policy also on table run .* WITH CHECK",
    "CREATE POLICY also ON runner.run_step FOR SELECT TO runner_server USING (true)": "policy also on table run_step .* USING",
    "ALTER TABLE runner.run OWNER TO runner_server": "this role owns table runner.run",
    "CREATE SCHEMA runner_more AUTHORIZATION runner_server": "this role owns a schema or a function",
    "CREATE VIEW runner.runs AS SELECT * FROM runner.run": "view runs runs with its owner's rights",
    "CREATE MATERIALIZED VIEW runner.runs AS SELECT * FROM runner.run": "materialized view runs runs with",
    "CREATE FUNCTION runner.all_runs() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = runner "
    "AS 'SELECT count(*) FROM run'": "function all_runs runs with its owner's rights",
    "GRANT USAGE ON SCHEMA catalog TO runner_server": "this role has USAGE on the foreign schema catalog",
    "GRANT USAGE ON SCHEMA public TO PUBLIC": "this role has USAGE on the foreign schema public",
    "GRANT TRUNCATE ON runner.run TO runner_server": "this role may truncate, reference or put triggers on table run",
    "ALTER ROLE runner_reaper BYPASSRLS": "role runner_reaper bypasses row-level security",
    "GRANT USAGE ON SCHEMA auth TO runner_relay": "role runner_relay has USAGE on the foreign schema auth",
    "ALTER TABLE runner.run ADD UNIQUE (id); ALTER TABLE runner.artifact ADD CONSTRAINT loose FOREIGN KEY (run_id) "
    "REFERENCES runner.run (id)": "reference loose of table artifact does not hold the tenant",
    "ALTER ROLE runner_server BYPASSRLS": "bypasses row-level security",
    "ALTER ROLE runner_server SUPERUSER": "bypasses row-level security",
    "GRANT CREATE ON SCHEMA runner TO runner_server": "may create objects in schema runner",
    "GRANT runner_owner TO runner_server": "is a member of another role",
}


async def start(connection: Any, service: str, role: str) -> None:
    """Do what a service does before it serves, as the role that it logs in as."""
    await connection.execute(f'SET LOCAL ROLE "{role}"')
    await require_isolation(connection, service, catalogue.exceptions(service))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_starts_on_a_sound_database(undone: Any, service: str) -> None:
    """On schemas at head the server's role is content."""
    await start(undone, service, f"{service}_server")


@pytest.mark.parametrize(("spoil", "complaint"), SPOILED.items(), ids=SPOILED.keys())
async def test_a_service_refuses_a_spoiled_database(undone: Any, spoil: str, complaint: str) -> None:
    """S37: the service names what is wrong and does not start."""
    await undone.execute(spoil)
    with pytest.raises(UnsafeDatabaseError, match=complaint):
        await start(undone, "runner", "runner_server")


LOOSENED = {
    "ALTER POLICY own ON auth.membership USING (true)": "policy own on table membership finds by nothing",
    "ALTER POLICY presented ON auth.oauth_client USING (id IS NOT NULL)": "policy presented on table oauth_client finds",
    "ALTER POLICY own ON auth.membership USING (tenant_id = "
    "(SELECT nullif(current_setting('app.tenant_id', true), '')::uuid) OR true)": "policy own on table membership finds",
    "DROP POLICY own ON auth.membership; CREATE POLICY own ON auth.membership TO auth_server USING (id = "
    "(SELECT nullif(current_setting('app.user_id', true), '')::uuid))": "lets the serving role write",
}


@pytest.mark.parametrize(("spoil", "complaint"), LOOSENED.items(), ids=LOOSENED.keys())
async def test_a_look_up_before_the_tenant_is_known_never_lists(undone: Any, spoil: str, complaint: str) -> None:
    """S37: where the serving role itself may look across tenants, it finds by what was presented, or does not start."""
    await undone.execute(spoil)
    with pytest.raises(UnsafeDatabaseError, match=complaint):
        await start(undone, "auth", "auth_server")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_refuses_its_owners_role(undone: Any, service: str) -> None:
    """S37: configured with the migrating role by mistake, a service does not start."""
    with pytest.raises(UnsafeDatabaseError, match="this role owns table"):
        await start(undone, service, f"{service}_owner")
