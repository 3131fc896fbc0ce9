"""The walk over tables, policies and grants as functions: each returns what it finds wrong, or worth an explanation."""

from typing import Any

from libs.common.database.guard import TENANT_TERM
from tests.architecture import catalogue
from tests.architecture.source import SERVICES

# the first part of a key, wherever it stands in a text or in JSON
_OBJECT_KEY = "(^|[^/0-9a-f-])([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/"


async def unguarded_tables(admin: Any) -> set[str]:
    """Return tenant tables without enabled and forced row-level security and a policy."""
    return {
        str(table)
        for table in await catalogue.all_tables(admin)
        if not await admin.fetchval(
            "SELECT relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) "
            "FROM pg_class c WHERE c.oid = $1::text::regclass",
            str(table),
        )
    }


async def unchecked_writers(admin: Any) -> set[str]:
    """Return roles that may insert or update where no policy checks what they write."""
    unchecked = set()
    for table in await catalogue.all_tables(admin):
        found = await catalogue.policies(admin, table)
        for role in catalogue.serving_roles(table.service):
            for word in await catalogue.privileges(admin, table, role) & {"INSERT", "UPDATE"}:
                applying = [p for p in found if {role, "public"} & set(p["roles"]) and p["cmd"] in ("ALL", word)]
                if not any(policy["with_check"] for policy in applying):
                    unchecked.add(f"{role} may {word} {table}")
    return unchecked


async def loose_policies(admin: Any) -> set[str]:
    """Return policies that ask anything but the tenant, for a role that roles.sql does not name for the table."""
    loose = set()
    for table in await catalogue.all_tables(admin):
        for policy in await catalogue.policies(admin, table):
            plain = all(condition == TENANT_TERM for _, condition in catalogue.comparisons([policy]))
            declared = policy["name"] != "tenant" and set(policy["roles"]) <= catalogue.declared_workers(table)
            if not plain and not declared:
                loose.add(f"{table} {policy['name']}")
    return loose


async def tables_without_tenant(admin: Any) -> set[str]:
    """Return tenant tables whose tenant_id is missing, null or no uuid, or not the first column."""
    wrong = set()
    for table in await catalogue.all_tables(admin):
        found = [
            (column["name"], column["type"], column["nullable"]) for column in await catalogue.columns(admin, table)
        ]
        # the outbox alone leads with its position, in the order of commit
        if (found[1] if table.name == "outbox" else found[0]) != ("tenant_id", "uuid", False):
            wrong.add(str(table))
    return wrong


async def foreign_indexes(admin: Any) -> set[str]:
    """Return indexes and keys of tenant tables that do not lead with tenant_id."""
    found = await admin.fetch(
        """
        SELECT n.nspname || '.' || i.relname AS index, n.nspname AS service, c.relname AS name, a.attname AS leads
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
        WHERE n.nspname = ANY ($1)
        """,
        list(SERVICES),
    )
    tenant_tables = {(table.service, table.name) for table in await catalogue.all_tables(admin)}
    return {
        row["index"] for row in found if (row["service"], row["name"]) in tenant_tables and row["leads"] != "tenant_id"
    }


async def foreign_references(admin: Any) -> set[str]:
    """Return foreign keys that do not carry tenant_id on both sides, or cross a schema."""
    found = await admin.fetch(
        """
        SELECT n.nspname AS service, c.relname AS name, k.conname, n.nspname = m.nspname AS inside,
               ARRAY(SELECT attname::text FROM unnest(k.conkey) u JOIN pg_attribute ON attrelid = k.conrelid AND attnum = u) AS own,
               ARRAY(SELECT attname::text FROM unnest(k.confkey) u JOIN pg_attribute ON attrelid = k.confrelid AND attnum = u) AS theirs
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace m ON m.oid = d.relnamespace
        WHERE k.contype = 'f' AND n.nspname = ANY ($1)
        """,
        list(SERVICES),
    )
    if not found:
        raise AssertionError("there are no foreign keys to look at")
    return {
        f"{row['service']}.{row['name']}.{row['conname']}"
        for row in found
        if not row["inside"] or "tenant_id" not in row["own"] or "tenant_id" not in row["theirs"]
    }


async def strong_roles(admin: Any) -> set[str]:
    """Return serving roles that own, bypass, make or belong to anything."""
    found = await admin.fetch(
        """
        SELECT rolname::text FROM pg_roles r
        WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication OR rolinherit
              OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid OR roleid = r.oid)
              OR EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)
              OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid)
              OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid)
              OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid))
        """,
        list(catalogue.ALL_ROLES),
    )
    return {row["rolname"] for row in found}


async def reaching_roles(admin: Any) -> set[str]:
    """Return roles with CREATE on a schema, or with any privilege in a schema of another service."""
    found = await admin.fetch(
        """
        SELECT r.rolname || ' in ' || n.nspname AS found FROM pg_roles r, pg_namespace n
        WHERE r.rolname = ANY ($1) AND n.nspname = ANY ($2) AND (
          has_schema_privilege(r.oid, n.oid, 'CREATE')
          OR (split_part(r.rolname, '_', 1) <> n.nspname AND has_schema_privilege(r.oid, n.oid, 'USAGE'))
          OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm')
                     AND split_part(r.rolname, '_', 1) <> n.nspname
                     AND has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')))
        """,
        list(catalogue.ALL_ROLES),
        list(SERVICES),
    )
    return {row["found"] for row in found}


async def open_objects(admin: Any) -> set[str]:
    """Return what is open to everybody, runs with its owner's rights, or shows rows without asking a policy."""
    found = await admin.fetch(
        """
        SELECT 'to everybody: ' || table_schema || '.' || table_name AS found FROM information_schema.role_table_grants
        WHERE table_schema = ANY ($1) AND grantee = 'PUBLIC'
        UNION ALL
        SELECT 'definer: ' || n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ANY ($1) AND p.prosecdef
        UNION ALL
        SELECT 'view: ' || n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('v', 'm', 'f')
        """,
        list(SERVICES),
    )
    return {row["found"] for row in found}


async def truncating_roles(admin: Any) -> set[str]:
    """Return privileges that ask no policy: TRUNCATE, triggers, references."""
    found = await admin.fetch(
        "SELECT grantee || ': ' || privilege_type || ' ' || table_name AS found FROM information_schema.role_table_grants "
        "WHERE grantee = ANY ($1) AND privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')",
        list(catalogue.ALL_ROLES),
    )
    return {row["found"] for row in found}


async def foreign_objects(admin: Any) -> set[str]:
    """Return rows that refer to an object under another tenant's prefix: keys of objects begin with their tenant."""
    found = set()
    for table in await catalogue.all_tables(admin):
        for column in await catalogue.columns(admin, table):
            if column["type"] in ("text", "jsonb"):
                rows = await admin.fetch(
                    f"SELECT tenant_id, m[2] AS prefix FROM {catalogue.quoted(table)}, "
                    f"regexp_matches(\"{column['name']}\"::text, $1, 'g') m WHERE m[2] <> tenant_id::text",
                    _OBJECT_KEY,
                )
                found |= {f"{table}.{column['name']} of {row['tenant_id']} refers to {row['prefix']}" for row in rows}
    return found
