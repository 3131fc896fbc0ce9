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
    "ALTER TABLE runner.run OWNER TO runner_server": "this role owns table run",
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


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_refuses_its_owners_role(undone: Any, service: str) -> None:
    """S37: configured with the migrating role by mistake, a service does not start."""
    with pytest.raises(UnsafeDatabaseError, match="this role owns table"):
        await start(undone, service, f"{service}_owner")
