"""S37: what the database itself says of tenancy, table by table and role by role."""

from typing import Any

from tests.architecture import catalogue
from tests.architecture.source import SERVICES

# Indexes that do not lead with tenant_id, and why.
OTHER_INDEXES = {
    **{
        f"{service}.{index}": reason
        for service in SERVICES
        for index, reason in {
            "outbox_pkey": "events leave in the order of commit, whose tenants mix",
            "outbox_unsent": "the relay's next batch",
            "outbox_sent": "the relay forgets what was sent long ago",
        }.items()
    },
    "auth.membership_id": "a person's memberships, before a tenant is known",
    "auth.oauth_client_id": "a client is found by the id that it presents, before its tenant is known",
    "auth.access_grant_age": "the keeper removes ended grants of all tenants",
    "scheduler.schedule_due": "the claimer finds due schedules of all tenants",
    "validator.job_open": "the claimer finds abandoned jobs of all tenants",
}
# Foreign keys that do not carry tenant_id, and why.
OTHER_REFERENCES = {"auth.membership.membership_id_fkey": "a person is global: one password, whatever the tenants"}


async def test_every_tenant_table_is_under_a_forced_policy(admin: Any) -> None:
    """S37: row-level security is enabled and forced on every tenant table of every schema, and has a policy."""
    bare = [
        str(table)
        for table in await catalogue.all_tables(admin)
        if not await admin.fetchval(
            "SELECT relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) "
            "FROM pg_class c WHERE c.oid = $1::text::regclass",
            str(table),
        )
    ]
    assert bare == []


async def test_there_are_tables_to_look_at(admin: Any) -> None:
    """The walk walks: each schema has tables of its own beside the common four."""
    for service in SERVICES:
        names = {table.name for table in await catalogue.tables(admin, service)}
        assert {"outbox", "entity_sequence", "idempotency", "tenant_state"} < names


async def test_every_writing_role_is_checked(admin: Any) -> None:
    """S37: whoever may insert or update has a policy that checks what is written, not only what is seen."""
    unchecked = []
    for table in await catalogue.all_tables(admin):
        found = await catalogue.policies(admin, table)
        for role in catalogue.serving_roles(table.service):
            for word in await catalogue.privileges(admin, table, role) & {"INSERT", "UPDATE"}:
                applying = [p for p in found if {role, "public"} & set(p["roles"]) and p["cmd"] in ("ALL", word)]
                if not any(policy["with_check"] for policy in applying):
                    unchecked.append(f"{role} may {word} {table}")
    assert unchecked == []


async def test_every_policy_compares_the_tenant(admin: Any) -> None:
    """S37: a policy that asks anything but the tenant is for a role that roles.sql names with table and reason."""
    loose = []
    for table in await catalogue.all_tables(admin):
        for policy in await catalogue.policies(admin, table):
            plain = all(condition == catalogue.TENANT_TERM for _, condition in catalogue.comparisons([policy]))
            if not plain and not set(policy["roles"]) <= catalogue.declared_workers(table):
                loose.append(f"{table} {policy['name']}")
    assert loose == []


async def test_every_declared_exception_exists(admin: Any) -> None:
    """A worker or global table that roles.sql declares is there, and the declaration is needed."""
    idle = []
    for service in SERVICES:
        for role, name, _ in catalogue.exceptions(service).workers:
            table = catalogue.TableName(service, name)
            if not await catalogue.privileges(admin, table, role):
                idle.append(f"{role} on {table}")
        idle += [
            f"{service}.{name}"
            for name in catalogue.exceptions(service).global_tables
            if not await admin.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{service}.{name}")
        ]
    assert idle == []


async def test_global_tables_hold_no_tenant(admin: Any) -> None:
    """A table outside row-level security has no tenant_id column."""
    found = await admin.fetch(
        "SELECT table_schema, table_name FROM information_schema.columns WHERE column_name = 'tenant_id'"
    )
    global_tables = {(service, name) for service in SERVICES for name in catalogue.exceptions(service).global_tables}
    assert {(row[0], row[1]) for row in found} & global_tables == set()


async def test_every_tenant_table_has_its_tenant(admin: Any) -> None:
    """S37: tenant_id is a uuid and never null."""
    wrong = []
    for table in await catalogue.all_tables(admin):
        kinds = {
            column["name"]: (column["type"], column["nullable"]) for column in await catalogue.columns(admin, table)
        }
        if kinds.get("tenant_id") != ("uuid", False):
            wrong.append(str(table))
    assert wrong == []


async def test_every_index_leads_with_the_tenant(admin: Any) -> None:
    """S37: primary keys and indexes lead with tenant_id, so no unique key tells of another tenant's values."""
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
    other = {
        row["index"] for row in found if (row["service"], row["name"]) in tenant_tables and row["leads"] != "tenant_id"
    }
    assert other == set(OTHER_INDEXES)


async def test_every_tenant_table_has_a_primary_key(admin: Any) -> None:
    """Every row can be named."""
    missing = [
        str(table)
        for table in await catalogue.all_tables(admin)
        if not await admin.fetchval(
            "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = $1::text::regclass AND indisprimary)", str(table)
        )
    ]
    assert missing == []


async def test_references_stay_inside_the_tenant(admin: Any) -> None:
    """S37: foreign keys between tenant tables carry tenant_id on both sides; none crosses a schema."""
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
    loose = {
        f"{row['service']}.{row['name']}.{row['conname']}"
        for row in found
        if not row["inside"] or "tenant_id" not in row["own"] or "tenant_id" not in row["theirs"]
    }
    assert found
    assert loose == set(OTHER_REFERENCES)


async def test_roles_own_nothing_and_cannot_bypass(admin: Any) -> None:
    """S37: who serves owns no object, is no superuser, bypasses nothing, makes nothing, is member of nobody."""
    strong = await admin.fetch(
        """
        SELECT rolname FROM pg_roles r
        WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication OR rolinherit
              OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid OR roleid = r.oid)
              OR EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)
              OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid)
              OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid)
              OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid))
        """,
        list(catalogue.ALL_ROLES),
    )
    assert [row["rolname"] for row in strong] == []


async def test_owners_bypass_nothing_either(admin: Any) -> None:
    """S13: each service has an owner of its own that migrates, and even it is no superuser and bypasses nothing."""
    owners = [f"{service}_owner" for service in SERVICES]
    strong = await admin.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole)",
        owners,
    )
    held = await admin.fetch(
        "SELECT nspname::text, pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = ANY ($1)",
        list(SERVICES),
    )
    assert strong == []
    assert {row[0]: row[1] for row in held} == {service: f"{service}_owner" for service in SERVICES}


async def test_no_role_reaches_into_another_schema(admin: Any) -> None:
    """S13: a role has USAGE on its own service's schema only, CREATE on none, and no privilege on a foreign table."""
    reaching = await admin.fetch(
        """
        SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n
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
    assert [tuple(row) for row in reaching] == []


async def test_nothing_is_granted_to_everybody(admin: Any) -> None:
    """No table, schema or function with its owner's rights is open to PUBLIC."""
    found = await admin.fetch(
        """
        SELECT grantee::text, table_schema::text, table_name::text FROM information_schema.role_table_grants
        WHERE table_schema = ANY ($1) AND grantee = 'PUBLIC'
        UNION ALL
        SELECT 'definer', n.nspname::text, p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ANY ($1) AND p.prosecdef
        UNION ALL
        SELECT 'view', n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('v', 'm')
        """,
        list(SERVICES),
    )
    assert [tuple(row) for row in found] == []


async def test_nobody_is_granted_a_truncate(admin: Any) -> None:
    """TRUNCATE asks no policy: no serving role holds it, nor triggers, nor references."""
    found = await admin.fetch(
        "SELECT grantee::text, table_name::text, privilege_type FROM information_schema.role_table_grants "
        "WHERE grantee = ANY ($1) AND privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')",
        list(catalogue.ALL_ROLES),
    )
    assert [tuple(row) for row in found] == []
