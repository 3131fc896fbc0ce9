"""What PostgreSQL says of itself: tables, policies, grants; read as an administrator whom no policy hides anything from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from deploy.local.database import roles
from libs.common.database.guard import Exceptions, declared_exceptions
from libs.common.migrations import service_folder
from tests.architecture.source import SERVICES

ALL_ROLES = tuple(role for service in SERVICES for role in roles(service) if not role.endswith("_owner"))


@dataclass(frozen=True, slots=True)
class TableName:
    """A tenant table of a service."""

    service: str
    name: str

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"


@cache
def exceptions(service: str) -> Exceptions:
    """Return what a service's roles.sql declares beside the plain rule."""
    return declared_exceptions(service_folder(service) / "roles.sql")


def declared_workers(table: TableName) -> set[str]:
    """Return the roles that roles.sql lets act across tenants on a table."""
    return {role for role, name, _ in exceptions(table.service).workers if name == table.name}


def serving_roles(service: str) -> tuple[str, ...]:
    """Return the roles that a service's processes log in as: all but the owner."""
    return tuple(role for role in roles(service) if not role.endswith("_owner"))


async def tables(admin: Any, service: str) -> list[TableName]:
    """Return a service's tenant tables: all but the ledger of migrations and the declared global ones."""
    ignored = {"schema_migration", *exceptions(service).global_tables}
    found = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') ORDER BY 1",
        service,
    )
    return [TableName(service, row["relname"]) for row in found if row["relname"] not in ignored]


async def all_tables(admin: Any) -> list[TableName]:
    """Return every tenant table of every service."""
    return [table for service in SERVICES for table in await tables(admin, service)]


async def policies(admin: Any, table: TableName) -> list[Any]:
    """Return a table's policies: name, command, roles, USING and WITH CHECK as text."""
    found: list[Any] = await admin.fetch(
        "SELECT policyname AS name, cmd, roles::text[] AS roles, qual, with_check FROM pg_policies "
        "WHERE schemaname = $1 AND tablename = $2",
        table.service,
        table.name,
    )
    return found


async def privileges(admin: Any, table: TableName, role: str) -> set[str]:
    """Return what a role may do to a table, or to some of its columns."""
    words = ("SELECT", "INSERT", "UPDATE", "DELETE")
    held = set()
    for word in words:
        asked = "has_table_privilege" if word == "DELETE" else "has_any_column_privilege"
        if await admin.fetchval(f"SELECT {asked}($1, $2, $3)", role, str(table), word):
            held.add(word)
    return held


async def columns(admin: Any, table: TableName) -> list[Any]:
    """Return a table's columns: name, type, whether null is allowed, whether the database makes the value."""
    found: list[Any] = await admin.fetch(
        "SELECT column_name AS name, udt_name AS type, is_nullable = 'YES' AS nullable, "
        "is_generated = 'ALWAYS' OR identity_generation = 'ALWAYS' AS made FROM information_schema.columns "
        "WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position",
        table.service,
        table.name,
    )
    return found


def quoted(table: TableName) -> str:
    """Return a table's qualified name for SQL."""
    return f'"{table.service}"."{table.name}"'


def comparisons(found: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield every condition of some policies with the policy's name."""
    for policy in found:
        for condition in (policy["qual"], policy["with_check"]):
            if condition is not None:
                yield policy["name"], condition
