"""S37: tenant B sees and changes nothing of tenant A, in every table of every schema, under every role.

Everything happens in one transaction per test that is rolled back; roles are taken on with SET LOCAL ROLE, which makes
PostgreSQL judge privileges and policies as if that role had logged in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.architecture import catalogue, rows
from tests.architecture.catalogue import TableName, quoted
from tests.architecture.source import SERVICES

A, B = UUID(int=0xA, version=4), UUID(int=0xB, version=4)


@asynccontextmanager
async def acting(admin: Any, role: str, tenant: UUID | str | None) -> AsyncIterator[Any]:
    """Act as a role under a tenant (None: none was ever set), and undo what was done."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute(f'SET LOCAL ROLE "{role}"')
        if tenant is not None:
            await admin.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant))
        yield admin
    finally:
        await transaction.rollback()


async def refused(admin: Any, sql: str, *arguments: Any) -> bool:
    """Say whether PostgreSQL refuses a statement for want of a privilege or against a policy; undo it otherwise."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute(sql, *arguments)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await transaction.rollback()
    return False


async def touched(admin: Any, sql: str, *arguments: Any) -> int:
    """Return how many rows a statement sees or changes; none when it is refused."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        status: str = await admin.execute(sql, *arguments)
        return int(status.rsplit(" ", 1)[-1])
    except asyncpg.InsufficientPrivilegeError:
        return 0
    finally:
        await transaction.rollback()


def roles_under_rule(table: TableName) -> list[str]:
    """Return the serving roles that roles.sql does not let act across tenants on a table."""
    return [role for role in catalogue.serving_roles(table.service) if role not in catalogue.declared_workers(table)]


async def visible_column(admin: Any, table: TableName, role: str, word: str) -> str | None:
    """Return a column that a role may read or write, or None."""
    for column in await catalogue.columns(admin, table):
        allowed = await admin.fetchval(
            "SELECT has_column_privilege($1, $2, $3, $4)", role, str(table), column["name"], word
        )
        if allowed and not (column["made"] and word == "UPDATE"):
            return str(column["name"])
    return None


async def snapshot(admin: Any, table: TableName) -> list[str]:
    """Return a table's rows as text."""
    return [row[0] for row in await admin.fetch(f"SELECT t::text FROM {quoted(table)} AS t ORDER BY 1")]


@pytest.fixture
async def filled(undone: Any, service: str) -> Any:
    """Return a connection inside a transaction in which every tenant table of a service holds a row of A and one of B."""
    for table in await catalogue.tables(undone, service):
        await rows.insert(undone, table, A, 1)
        await rows.insert(undone, table, B, 2)
    return undone


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_is_filled(filled: Any, service: str) -> None:
    """The walk below is worth something: each table holds exactly a row of A and a row of B."""
    for table in await catalogue.tables(filled, service):
        counts = await filled.fetch(
            f"SELECT tenant_id, count(*) FROM {quoted(table)} WHERE tenant_id IN ($1, $2) GROUP BY 1", A, B
        )
        assert {row[0]: row[1] for row in counts} == {A: 1, B: 1}, table


@pytest.mark.parametrize("service", SERVICES)
async def test_each_tenant_sees_its_own(filled: Any, service: str) -> None:
    """A role that may read a table sees its tenant's row and that one only."""
    for table in await catalogue.tables(filled, service):
        for role in roles_under_rule(table):
            column = await visible_column(filled, table, role, "SELECT")
            if column is None or not await has_policy(filled, table, role):
                continue
            async with acting(filled, role, B) as connection:
                # a column that is not the tenant may be all that is granted: count rows, do not read them
                assert await touched(connection, f'SELECT "{column}" FROM {quoted(table)}') == 1, (table, role)


async def has_policy(admin: Any, table: TableName, role: str) -> bool:
    """Say whether a policy lets a role read a table at all."""
    found = await catalogue.policies(admin, table)
    return any({role, "public"} & set(policy["roles"]) and policy["cmd"] in ("ALL", "SELECT") for policy in found)


@pytest.mark.parametrize("service", SERVICES)
async def test_another_tenants_rows_cannot_be_changed(filled: Any, service: str) -> None:
    """S37: under B nothing of A is updated or deleted, whatever the role may do to its own rows."""
    for table in await catalogue.tables(filled, service):
        before = await snapshot(filled, table)
        for role in roles_under_rule(table):
            column = await visible_column(filled, table, role, "UPDATE")
            async with acting(filled, role, B) as connection:
                if column is not None:
                    own = await touched(connection, f'UPDATE {quoted(table)} SET "{column}" = "{column}"')
                    assert own <= 1, (table, role)
                assert (
                    await touched(
                        connection, f"UPDATE {quoted(table)} SET tenant_id = tenant_id WHERE tenant_id = $1", A
                    )
                    == 0
                )
                assert await touched(connection, f"DELETE FROM {quoted(table)} WHERE tenant_id = $1", A) == 0, (
                    table,
                    role,
                )
        assert await snapshot(filled, table) == before


@pytest.mark.parametrize("service", SERVICES)
async def test_no_row_is_given_to_another_tenant(filled: Any, service: str) -> None:
    """S37: under B a row with A's tenant_id is refused, and B's own row cannot be moved to A."""
    for table in await catalogue.tables(filled, service):
        foreign = (await rows.candidates(filled, table, A, 3))[0]
        for role in catalogue.serving_roles(service):
            if role in catalogue.declared_workers(table) and not await catalogue.privileges(filled, table, role) & {
                "INSERT"
            }:
                continue
            async with acting(filled, role, B) as connection:
                assert await refused(connection, rows.statement(table, foreign), *foreign.values()), (table, role)
                if await visible_column(filled, table, role, "UPDATE") and await has_policy(filled, table, role):
                    moved = f"UPDATE {quoted(table)} SET tenant_id = $1 WHERE tenant_id = $2"
                    assert await refused(connection, moved, A, B), (table, role)


@pytest.mark.parametrize("tenant", [None, ""], ids=["unset", "empty"])
@pytest.mark.parametrize("service", SERVICES)
async def test_without_a_tenant_nothing_is_seen_or_written(filled: Any, service: str, tenant: str | None) -> None:
    """S37: a session that forgot its tenant reads nothing and writes nothing; it never reads everything."""
    for table in await catalogue.tables(filled, service):
        row = (await rows.candidates(filled, table, A, 3))[0]
        for role in roles_under_rule(table):
            column = await visible_column(filled, table, role, "SELECT")
            async with acting(filled, role, tenant) as connection:
                if column is not None:
                    assert await touched(connection, f'SELECT "{column}" FROM {quoted(table)}') == 0, (table, role)
                assert await touched(connection, f"DELETE FROM {quoted(table)}") == 0, (table, role)
                assert await refused(connection, rows.statement(table, row), *row.values()), (table, role)


@pytest.mark.parametrize("service", SERVICES)
async def test_no_role_reads_another_services_table(filled: Any, service: str) -> None:
    """S13: each role of a service is refused at every table of the five others."""
    strangers = [role for role in catalogue.ALL_ROLES if not role.startswith(f"{service}_")]
    for table in await catalogue.tables(filled, service):
        for role in strangers:
            async with acting(filled, role, A) as connection:
                assert await refused(connection, f"SELECT FROM {quoted(table)}"), (table, role)


@pytest.mark.parametrize("service", SERVICES)
async def test_workers_write_only_what_is_declared(filled: Any, service: str) -> None:
    """A worker that acts across tenants inserts nothing for anybody without a tenant of its own."""
    for table in await catalogue.tables(filled, service):
        row = (await rows.candidates(filled, table, A, 3))[0]
        for role in catalogue.declared_workers(table):
            async with acting(filled, role, None) as connection:
                assert await refused(connection, rows.statement(table, row), *row.values()), (table, role)


async def test_roles_log_in_as_themselves(databases: dict[str, str]) -> None:
    """What was shown above with SET ROLE holds for a login: the session is that role, under row security."""
    for role in catalogue.ALL_ROLES:
        connection = await asyncpg.connect(databases[role])
        try:
            shown = await connection.fetchrow(
                "SELECT session_user::text, current_user::text, current_setting('row_security')"
            )
            assert tuple(shown or ()) == (role, role, "on")
        finally:
            await connection.close()


@pytest.mark.parametrize("service", ["runner"])
async def test_the_walk_finds_a_leak(filled: Any, service: str) -> None:
    """The walk above is worth something: a policy that lets everybody in is seen, read, changed and written through."""
    table = TableName(service, "run")
    await filled.execute("ALTER POLICY tenant ON runner.run USING (true) WITH CHECK (true)")
    foreign = (await rows.candidates(filled, table, A, 3))[0]
    async with acting(filled, "runner_server", B) as connection:
        assert await touched(connection, "SELECT id FROM runner.run") == 2
        assert await touched(connection, "UPDATE runner.run SET fence = fence WHERE tenant_id = $1", A) == 1
        with suppress(asyncpg.IntegrityConstraintViolationError):  # its made-up values, no longer the policy
            assert not await refused(connection, rows.statement(table, foreign), *foreign.values())
