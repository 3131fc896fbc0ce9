"""Tenants do not see each other's runs, and the reaper sees none of what is in them."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.common.context import Context
from tests.runner.world import World

TABLES = ("run", "run_step", "ledger", "validation", "artifact", "delivery", "progress")


@pytest.mark.parametrize("table", TABLES)
async def test_another_tenant_sees_and_changes_nothing(world: World, table: str) -> None:
    """Row-level security holds for raw SQL under the service's own role (S37)."""
    await world.setup()
    await world.run_through(held=[3])
    async with world.database.transaction(world.context()) as tx:
        assert await tx.connection.fetchval(f"SELECT count(*) FROM {table}") > 0
    async with world.database.transaction(Context(uuid4(), "user:2", world.clock())) as tx:
        assert await tx.connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_row_cannot_be_written_for_another_tenant(world: World) -> None:
    """The policy's check refuses a foreign tenant id (S37)."""
    await world.setup()
    run_id = await world.start()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with world.database.transaction(world.context()) as tx:
            await tx.connection.execute("UPDATE run SET tenant_id = $1 WHERE id = $2", uuid4(), run_id)


async def test_without_a_tenant_nothing_is_seen(world: World) -> None:
    """A session that forgot the tenant reads an empty table (S37)."""
    await world.setup()
    await world.start()
    async with world.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM run") == 0


async def test_the_reaper_sees_lease_columns_only(world: World) -> None:
    """It finds runs of all tenants, and cannot read what they are (S37)."""
    await world.setup()
    run_id = await world.start()
    async with world.reaper.connection() as connection:
        found = await connection.fetch("SELECT tenant_id, id, status, lease_until FROM run WHERE id = $1", run_id)
        assert [row["tenant_id"] for row in found] == [world.tenant]
        for forbidden in ("SELECT report_id FROM run", "SELECT 1 FROM run_step", "UPDATE run SET status = 'failed'"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)


async def test_another_tenants_poke_moves_nothing(world: World) -> None:
    """A worker told the wrong tenant finds no run."""
    await world.setup()
    run_id = await world.start()
    await world.executor.attempt(UUID(int=1), run_id)
    assert await world.status(run_id) == "queued"
