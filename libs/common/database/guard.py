"""A service refuses to start where the database would not keep tenants apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_GLOBAL = re.compile(r"^-- global: (?P<name>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)
_WORKER = re.compile(r"^-- worker: (?P<role>\w+) +table: (?P<table>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)
_READABLE = re.compile(r"^-- readable: (?P<name>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)
_DEFINER = re.compile(r"^-- definer: (?P<name>\w+) +reason: (?P<reason>.+)$", re.MULTILINE)

TENANT_TERM = (
    "(tenant_id = ( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid AS \"nullif\"))"
)
"""The one condition that keeps tenants apart, as PostgreSQL prints it."""
_PRESENTED = re.compile(
    r"\( SELECT \(NULLIF\(current_setting\('app\.(?!tenant_id)\w+'::text, true\), ''::text\)\)::uuid"
)
"""What a look-up before the tenant is known compares with: an id that somebody presented."""
_PLAIN = "tenant"
"""The policy of this name is never an exception, whatever roles.sql declares."""
_LEDGER = "schema_migration"

_ROLES = """
SELECT r.rolname = current_user AS own, r.rolname AS name, r.rolsuper OR r.rolbypassrls AS bypasses,
       has_schema_privilege(r.oid, $1, 'CREATE') AS creates,
       EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member,
       EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid) OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid) AS owns,
       ARRAY(SELECT n.nspname::text || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' ORDER BY 1) AS owned,
       ARRAY(SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')
             AND has_table_privilege(r.oid, c.oid, 'TRUNCATE, TRIGGER, REFERENCES') ORDER BY 1) AS beyond,
       ARRAY(SELECT nspname::text FROM pg_namespace n WHERE nspname NOT IN ($1, 'information_schema') AND nspname !~ '^pg_'
             AND has_schema_privilege(r.oid, n.oid, 'USAGE') ORDER BY 1) AS reaches
FROM pg_roles r WHERE r.rolname = current_user OR r.rolname = ANY ($2::text[]) ORDER BY own DESC, name
"""
_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AND
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS guarded
FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""
_POLICIES = """
SELECT c.relname AS table, p.polname AS name, p.polcmd::text AS command,
       ARRAY(SELECT CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role)::text END FROM unnest(p.polroles) role) AS roles,
       pg_get_expr(p.polqual, c.oid) AS seen, pg_get_expr(p.polwithcheck, c.oid) AS written
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = $1::regnamespace ORDER BY 1, 2
"""
_OBJECTS = """
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind, relname AS name
FROM pg_class WHERE relnamespace = $1::regnamespace AND (relkind IN ('m', 'f') OR relkind = 'v'
     AND NOT coalesce(reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false))
UNION ALL
SELECT 'function', proname FROM pg_proc WHERE pronamespace = $1::regnamespace AND prosecdef ORDER BY 1, 2
"""

_REFERENCES = """
SELECT c.conname AS name, t.relname AS table FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
WHERE c.contype = 'f' AND t.relnamespace = $1::regnamespace AND t.relname <> ALL ($2::text[])
      AND (f.relnamespace <> t.relnamespace OR f.relname <> ALL ($2::text[]))
      AND NOT EXISTS (SELECT FROM unnest(c.conkey, c.confkey) AS pair (own, other)
                      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = pair.own
                      JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = pair.other
                      WHERE a.attname = 'tenant_id' AND b.attname = 'tenant_id')
ORDER BY 2, 1
"""


class UnsafeDatabaseError(SystemExit):
    """Tenants would not be isolated; the service does not start."""


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What a service's roles.sql declares beside the plain rule, each with its reason.

    Global tables; workers that act across tenants on a table; functions that run with their owner's rights.
    """

    global_tables: dict[str, str]
    workers: tuple[tuple[str, str, str], ...]
    definers: dict[str, str] = field(default_factory=dict)
    readable: dict[str, str] = field(default_factory=dict)
    """Tables whose rows the serving role may read whatever the tenant."""

    @property
    def roles(self) -> list[str]:
        """Return the roles that are declared for some table."""
        return sorted({role for role, _, _ in self.workers})

    def workers_of(self, table: str) -> set[str]:
        """Return the roles that may act across tenants on a table."""
        return {role for role, name, _ in self.workers if name == table}


def declared_exceptions(roles_sql: Path) -> Exceptions:
    """Read the `-- global:`, `-- worker:`, `-- definer:` and `-- readable:` lines of a roles.sql."""
    text = roles_sql.read_text(encoding="utf-8")
    return Exceptions(
        global_tables={match["name"]: match["reason"] for match in _GLOBAL.finditer(text)},
        workers=tuple((match["role"], match["table"], match["reason"]) for match in _WORKER.finditer(text)),
        definers={match["name"]: match["reason"] for match in _DEFINER.finditer(text)},
        readable={match["name"]: match["reason"] for match in _READABLE.finditer(text)},
    )


async def require_isolation(connection: Any, service: str, exceptions: Exceptions) -> None:
    """Check that the database keeps tenants apart for this service, and that none of its roles can get around it.

    Raises:
        UnsafeDatabaseError: names every table, policy, object and role that is wrong, and what is wrong with it.
    """
    faults = await isolation_faults(connection, service, exceptions)
    if faults:
        raise UnsafeDatabaseError(f"{service} does not start: " + "; ".join(faults))


async def isolation_faults(connection: Any, service: str, exceptions: Exceptions) -> list[str]:
    """Return everything that would let tenants see each other, in words; empty where they are kept apart."""
    roles = await connection.fetch(_ROLES, service, exceptions.roles)
    own = next(role["name"] for role in roles if role["own"])
    tables = await connection.fetch(_TABLES, service)
    policies = await connection.fetch(_POLICIES, service)
    objects = await connection.fetch(_OBJECTS, service)
    ignored = {_LEDGER, *exceptions.global_tables}
    references = await connection.fetch(_REFERENCES, service, sorted(ignored))
    return [
        *(fault for role in roles for fault in _role_faults(role, service)),
        *(
            f"table {table['name']} has no enabled and forced row-level security with a policy"
            for table in tables
            if table["name"] not in ignored and not table["guarded"]
        ),
        *(fault for policy in policies for fault in _policy_faults(policy, exceptions, own)),
        *(f"reference {found['name']} of table {found['table']} does not hold the tenant" for found in references),
        *(
            f"{found['kind']} {found['name']} runs with its owner's rights"
            for found in objects
            if found["kind"] != "function" or found["name"] not in exceptions.definers
        ),
    ]


def _role_faults(role: Any, service: str) -> Iterator[str]:
    name = "this role" if role["own"] else f"role {role['name']}"
    checks = {
        "bypasses row-level security": role["bypasses"],
        f"may create objects in schema {service}": role["creates"],
        "is a member of another role": role["member"],
        "owns a schema or a function": role["owns"],
    }
    yield from (f"{name} {fault}" for fault, holds in checks.items() if holds)
    yield from (f"{name} owns table {table}" for table in role["owned"])
    yield from (f"{name} may truncate, reference or put triggers on table {table}" for table in role["beyond"])
    yield from (f"{name} has USAGE on the foreign schema {schema}" for schema in role["reaches"])


def _policy_faults(policy: Any, exceptions: Exceptions, own: str) -> Iterator[str]:
    """Yield what a policy lets through; one for declared workers alone may ask something else than the tenant."""
    table, roles = policy["table"], set(policy["roles"])
    if policy["name"] != _PLAIN and roles and roles <= exceptions.workers_of(table):
        if own in roles:
            yield from _look_up_faults(policy, exceptions)
        return
    asked = {
        "USING": policy["seen"] if policy["command"] != "a" else TENANT_TERM,
        "WITH CHECK": policy["written"] if policy["command"] not in ("r", "d") else TENANT_TERM,
    }
    for clause, condition in asked.items():
        if condition is None:
            yield f"policy {policy['name']} on table {table} has no {clause}"
        elif condition != TENANT_TERM:
            yield f"policy {policy['name']} on table {table} does not compare tenant_id with the setting in {clause}"


def _look_up_faults(policy: Any, exceptions: Exceptions) -> Iterator[str]:
    """Yield what a policy of the role that serves requests lets through: it may find by what was presented, never list."""
    name, table, condition = policy["name"], policy["table"], policy["seen"] or ""
    if policy["command"] != "r":
        yield f"policy {name} on table {table} lets the serving role write whatever the tenant"
    elif table not in exceptions.readable and (" OR " in condition or not _PRESENTED.search(condition)):
        yield f"policy {name} on table {table} finds by nothing that was presented"
