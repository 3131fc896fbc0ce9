"""Tenant B at tenant A's rows with raw SQL, in every table under every role: what gets through is returned, in words.

Everything happens in a transaction that is rolled back; roles are taken on with SET LOCAL ROLE, which makes PostgreSQL
judge privileges and policies as if that role had logged in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from tests.architecture import catalogue, rows
from tests.architecture.catalogue import TableName, quoted

A, B = UUID(int=0xA, version=4), UUID(int=0xB, version=4)
# what a serving role shows everybody on purpose; other declared look-ups show nothing until something is presented
PUBLISHED = {("audit_server", "audit.signing_key")}

_VISIBLE = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = $2::regclass AND attnum > 0 AND NOT attisdropped AND has_column_privilege($1, attrelid, attnum, $3)
  AND NOT ($3 = 'UPDATE' AND (attgenerated <> '' OR attidentity = 'a'))
ORDER BY attnum LIMIT 1
"""


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
    except asyncpg.IntegrityConstraintViolationError:  # of made-up values; policies are asked before
        return False
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
    except asyncpg.IntegrityConstraintViolationError:  # made-up values refer to nothing; but a row was reached
        return 1
    finally:
        await transaction.rollback()


def roles_under_rule(table: TableName) -> list[str]:
    """Return the roles that see one tenant's rows of a table: all but the workers that roles.sql names for it."""
    workers = catalogue.declared_workers(table)
    return [
        role
        for role in catalogue.serving_roles(table.service)
        if role not in workers or (role == f"{table.service}_server" and (role, str(table)) not in PUBLISHED)
    ]


async def visible_column(admin: Any, table: TableName, role: str, word: str) -> str | None:
    """Return a column that a role may read or write, or None."""
    found: str | None = await admin.fetchval(_VISIBLE, role, str(table), word)
    return found


async def has_policy(admin: Any, table: TableName, role: str) -> bool:
    """Say whether a policy lets a role read a table at all."""
    found = await catalogue.policies(admin, table)
    return any({role, "public"} & set(policy["roles"]) and policy["cmd"] in ("ALL", "SELECT") for policy in found)


async def snapshot(admin: Any, table: TableName) -> list[str]:
    """Return a table's rows as text."""
    return [row[0] for row in await admin.fetch(f"SELECT t::text FROM {quoted(table)} AS t ORDER BY 1")]


async def fill(admin: Any, service: str) -> None:
    """Give every tenant table of a service a row of A and one of B."""
    if await admin.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{service}.key_canary"):
        for seed in (1, 2):  # foreign keys are asked when a row changes
            await admin.execute(
                f"INSERT INTO {service}.key_canary (key_id, wrapped, sealed) VALUES ($1, '', '')", f"made-up-{seed}"
            )
    for table in await catalogue.tables(admin, service):
        await rows.insert(admin, table, A, 1)
        await rows.insert(admin, table, B, 2)


async def seen(admin: Any, service: str) -> list[str]:
    """Return who, under B, does not see exactly B's row of a table that it may read."""
    found = []
    for table in await catalogue.tables(admin, service):
        for role in roles_under_rule(table):
            column = await visible_column(admin, table, role, "SELECT")
            if column is None or not await has_policy(admin, table, role):
                continue
            async with acting(admin, role, B) as connection:
                # a column that is not the tenant may be all that is granted: count rows, do not read them
                count = await touched(connection, f'SELECT "{column}" FROM {quoted(table)}')
            if count != 1:
                found.append(f"{role} sees {'more' if count else 'less'} than its row of {table}")
    return found


async def changed(admin: Any, service: str) -> list[str]:
    """Return who, under B, can update or delete more than B's row."""
    found = []
    for table in await catalogue.tables(admin, service):
        before = await snapshot(admin, table)
        for role in roles_under_rule(table):
            column = await visible_column(admin, table, role, "UPDATE")
            async with acting(admin, role, B) as connection:
                own = await touched(connection, f'UPDATE {quoted(table)} SET "{column}" = "{column}"') if column else 0
                moved = f"UPDATE {quoted(table)} SET tenant_id = tenant_id WHERE tenant_id = $1"
                others = await touched(connection, moved, A)
                others += await touched(connection, f"DELETE FROM {quoted(table)} WHERE tenant_id = $1", A)
            if own > 1 or others:
                found.append(f"{role} changes rows of others in {table}")
        if await snapshot(admin, table) != before:
            found.append(f"{table} is not as it was")
    return found


async def given(admin: Any, service: str) -> list[str]:
    """Return who, under B, can write a row of A's, or make B's row A's."""
    found = []
    for table in await catalogue.tables(admin, service):
        foreign = (await rows.candidates(admin, table, A, 3))[0]
        for role in catalogue.serving_roles(service):
            declared = role in catalogue.declared_workers(table)
            if declared and not await catalogue.privileges(admin, table, role) & {"INSERT"}:
                continue
            async with acting(admin, role, B) as connection:
                if not await refused(connection, rows.statement(table, foreign), *foreign.values()):
                    found.append(f"{role} inserts for others into {table}")
                if await visible_column(admin, table, role, "UPDATE") and await has_policy(admin, table, role):
                    moved = f"UPDATE {quoted(table)} SET tenant_id = $1 WHERE tenant_id = $2"
                    if not await refused(connection, moved, A, B):
                        found.append(f"{role} gives rows of {table} away")
    return found


async def without_tenant(admin: Any, service: str, tenant: str | None) -> list[str]:
    """Return who sees, deletes or writes anything where no tenant is set."""
    found = []
    for table in await catalogue.tables(admin, service):
        row = (await rows.candidates(admin, table, A, 3))[0]
        for role in roles_under_rule(table):
            column = await visible_column(admin, table, role, "SELECT")
            async with acting(admin, role, tenant) as connection:
                if column and await touched(connection, f'SELECT "{column}" FROM {quoted(table)}'):
                    found.append(f"{role} sees {table} without a tenant")
                if await touched(connection, f"DELETE FROM {quoted(table)}"):
                    found.append(f"{role} empties {table} without a tenant")
                if not await refused(connection, rows.statement(table, row), *row.values()):
                    found.append(f"{role} writes {table} without a tenant")
    return found
