"""S37: tenant B sees and changes nothing of tenant A, in every table of every schema, under every role."""

from typing import Any

import asyncpg
import pytest

from tests.architecture import catalogue, rows, walk
from tests.architecture.catalogue import quoted
from tests.architecture.source import SERVICES
from tests.architecture.walk import A, B, acting, refused


@pytest.fixture
async def filled(undone: Any, service: str) -> Any:
    """Return a connection inside a transaction in which every tenant table of a service holds a row of A and one of B."""
    await walk.fill(undone, service)
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
    assert await walk.seen(filled, service) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_another_tenants_rows_cannot_be_changed(filled: Any, service: str) -> None:
    """S37: under B nothing of A is updated or deleted, whatever the role may do to its own rows."""
    assert await walk.changed(filled, service) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_no_row_is_given_to_another_tenant(filled: Any, service: str) -> None:
    """S37: under B a row with A's tenant_id is refused, and B's own row cannot be moved to A."""
    assert await walk.given(filled, service) == []


@pytest.mark.parametrize("tenant", [None, ""], ids=["unset", "empty"])
@pytest.mark.parametrize("service", SERVICES)
async def test_without_a_tenant_nothing_is_seen_or_written(filled: Any, service: str, tenant: str | None) -> None:
    """S37: a session that forgot its tenant reads nothing and writes nothing; it never reads everything."""
    assert await walk.without_tenant(filled, service, tenant) == []


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
