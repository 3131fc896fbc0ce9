"""S37: what the database itself says of tenancy, table by table and role by role."""

from typing import Any

from tests.architecture import catalogue, faults
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
    "auth.mail_due": "the mailer finds due mail of all tenants",
    "auth.mail_settled": "the mailer forgets settled mail of all tenants",
    "scheduler.schedule_due": "the claimer finds due schedules of all tenants",
    "validator.job_open": "the claimer finds abandoned jobs of all tenants",
    "validator.decision_lapsing": "the claimer finds waivers of all tenants whose last day is past",
}
# Foreign keys that do not carry tenant_id, and why.
OTHER_REFERENCES = {
    "auth.membership.membership_id_fkey": "a person is global: one password, whatever the tenants",
    "auth.second_factor.second_factor_identity_id_fkey": "the same for the person's factors",
    "auth.recovery_code.recovery_code_identity_id_fkey": "and their recovery codes",
    "auth.pending_login.pending_login_identity_id_fkey": "and a login between its two steps",
    "auth.data_key.data_key_key_fkey": "a key-encryption key serves every tenant; it may not go while it is needed",
    "catalog.data_key.data_key_key_fkey": "the same",
    "audit.signing_key.signing_key_key_fkey": "the same",
}


async def test_every_tenant_table_is_under_a_forced_policy(admin: Any) -> None:
    """S37: row-level security is enabled and forced on every tenant table of every schema, and has a policy."""
    assert await faults.unguarded_tables(admin) == set()


async def test_there_are_tables_to_look_at(admin: Any) -> None:
    """The walk walks: each schema has tables of its own beside the common four."""
    for service in SERVICES:
        names = {table.name for table in await catalogue.tables(admin, service)}
        assert {"outbox", "entity_sequence", "idempotency", "tenant_state"} < names


async def test_every_writing_role_is_checked(admin: Any) -> None:
    """S37: whoever may insert or update has a policy that checks what is written, not only what is seen."""
    assert await faults.unchecked_writers(admin) == set()


async def test_every_policy_compares_the_tenant(admin: Any) -> None:
    """S37: a policy that asks anything but the tenant is for a role that roles.sql names with table and reason."""
    assert await faults.loose_policies(admin) == set()


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
    """S37: tenant_id is a uuid, never null, and the first column."""
    assert await faults.tables_without_tenant(admin) == set()


async def test_every_index_leads_with_the_tenant(admin: Any) -> None:
    """S37: primary keys and indexes lead with tenant_id, so no unique key tells of another tenant's values."""
    assert await faults.foreign_indexes(admin) == set(OTHER_INDEXES)


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
    assert await faults.foreign_references(admin) == set(OTHER_REFERENCES)


async def test_roles_own_nothing_and_cannot_bypass(admin: Any) -> None:
    """S37: who serves owns no object, is no superuser, bypasses nothing, makes nothing, is member of nobody."""
    assert await faults.strong_roles(admin) == set()


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
    assert await faults.reaching_roles(admin) == set()


async def test_nothing_is_granted_to_everybody(admin: Any) -> None:
    """No table, schema or function with its owner's rights is open to PUBLIC."""
    assert await faults.open_objects(admin) == set()


async def test_nobody_is_granted_a_truncate(admin: Any) -> None:
    """TRUNCATE asks no policy: no serving role holds it, nor triggers, nor references."""
    assert await faults.truncating_roles(admin) == set()
