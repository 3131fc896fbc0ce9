"""A service refuses to start where the database would not keep tenants apart."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GLOBAL = re.compile(r"^-- global: (?P<table>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)
_WORKER = re.compile(r"^-- worker: (?P<role>\w+) +table: (?P<table>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)

_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       pg_get_userbyid(c.relowner) = current_user AS owned,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies
FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""
_ROLE = """
SELECT rolsuper OR rolbypassrls AS bypasses,
       has_schema_privilege(current_user, $1, 'CREATE') AS creates,
       (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships
FROM pg_roles r WHERE rolname = current_user
"""


class UnsafeDatabaseError(SystemExit):
    """Tenants would not be isolated; the service does not start."""


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What a service's roles.sql declares beside the plain rule: global tables, and workers that act across tenants."""

    global_tables: dict[str, str]
    workers: tuple[tuple[str, str, str], ...]


def declared_exceptions(roles_sql: Path) -> Exceptions:
    """Read the `-- global:` and `-- worker:` lines of a roles.sql."""
    text = roles_sql.read_text(encoding="utf-8")
    return Exceptions(
        global_tables={match["table"]: match["reason"] for match in _GLOBAL.finditer(text)},
        workers=tuple((match["role"], match["table"], match["reason"]) for match in _WORKER.finditer(text)),
    )


async def require_isolation(connection: Any, service: str, exceptions: Exceptions) -> None:
    """Check that every tenant table has row-level security enabled, forced and a policy, and that we cannot bypass it.

    Raises:
        UnsafeDatabaseError: names everything that is wrong.
    """
    faults = [*await _role_faults(connection, service), *await _table_faults(connection, service, exceptions)]
    if faults:
        raise UnsafeDatabaseError(f"{service} does not start: " + "; ".join(faults))


async def _role_faults(connection: Any, service: str) -> list[str]:
    role = await connection.fetchrow(_ROLE, service)
    checks = {
        "this role bypasses row-level security": role["bypasses"],
        f"this role may create objects in schema {service}": role["creates"],
        "this role is a member of another role": role["memberships"] > 0,
    }
    return [fault for fault, holds in checks.items() if holds]


async def _table_faults(connection: Any, service: str, exceptions: Exceptions) -> list[str]:
    faults = []
    ignored = {"schema_migration", *exceptions.global_tables}
    for table in await connection.fetch(_TABLES, service):
        if table["owned"]:
            faults.append(f"this role owns table {table['name']}")
        if table["name"] in ignored:
            continue
        if not (table["enabled"] and table["forced"] and table["policies"]):
            faults.append(f"table {table['name']} has no enabled and forced row-level security with a policy")
    return faults
