"""One tenant sees and changes nothing of another, whatever asks (S37)."""

import asyncpg
import pytest

from libs.common.context import Context
from tests.auth.world import Tenant, World

TENANT_TABLES = (
    "tenant",
    "membership",
    "role",
    "access_grant",
    "refresh_token",
    "revocation",
    "oauth_client",
    "client_secret",
    "setup_link",
    "own_secret",
    "data_key",
    "mail",
    "account_link",
    "invitation",
)


async def test_another_tenants_ids_are_not_found(tenant: Tenant, world: World) -> None:
    """Each route answers 404 to ids of another tenant (S37)."""
    other = await world.tenant()
    client, _ = await other.oauth_client("viewer")
    grant = (await other.login())["access_token"]
    async with other.caller() as theirs:
        role = (await theirs.post("/v1/roles", json={"name": "own", "permissions": []})).json()["id"]
        grant = (await theirs.get("/v1/me")).json()["grant_id"]
    match = {"If-Match": '"1"'}
    async with tenant.caller() as http:
        answers = [
            await http.get(f"/v1/users/{other.owner}"),
            await http.put(f"/v1/users/{other.owner}", json={"name": "x", "roles": []}, headers=match),
            await http.post(f"/v1/users/{other.owner}/disable"),
            await http.post(f"/v1/users/{other.owner}/enable"),
            await http.get(f"/v1/roles/{role}"),
            await http.put(f"/v1/roles/{role}", json={"permissions": []}, headers=match),
            await http.delete(f"/v1/roles/{role}"),
            await http.get(f"/v1/clients/{client}"),
            await http.put(f"/v1/clients/{client}", json={"name": "x", "roles": []}, headers=match),
            await http.post(f"/v1/clients/{client}/rotate", json={}),
            await http.delete(f"/v1/clients/{client}"),
            await http.post(f"/v1/grants/{grant}/revoke"),
        ]
        listed = [(await http.get(path)).text for path in ("/v1/users", "/v1/roles", "/v1/clients", "/v1/grants")]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert not any(str(id_) in text for id_ in (other.owner, role, client, grant) for text in listed)


async def test_a_role_of_another_tenant_gives_nothing(tenant: Tenant, world: World) -> None:
    """Roles are looked up in the tenant, by name."""
    other = await world.tenant()
    async with other.caller() as theirs:
        assert (await theirs.post("/v1/roles", json={"name": "theirs", "permissions": []})).status_code == 201
    async with tenant.caller() as http:
        answer = await http.post("/v1/clients", json={"name": "x", "roles": ["theirs"]})
    assert answer.status_code == 422


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_raw_sql_sees_own_rows_only(tenant: Tenant, world: World, table: str) -> None:
    """Whatever the service's role asks, it sees the transaction's tenant; without one, nothing (S37)."""
    await tenant.oauth_client("viewer")
    await tenant.login()
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        rows = await tx.connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
    assert {row["tenant_id"] for row in rows} <= {tenant.id}
    connection = await asyncpg.connect(world.databases["auth_server"], server_settings={"search_path": "auth"})
    try:
        assert await connection.fetch(f"SELECT FROM {table}") == []
    finally:
        await connection.close()


async def test_the_look_ups_before_a_tenant_is_known_find_only_what_is_presented(tenant: Tenant, world: World) -> None:
    """A presented id shows its own row and no other; nothing can be listed or changed that way (S37)."""
    client, _ = await tenant.oauth_client("viewer")
    other, _ = await (await world.tenant()).oauth_client("viewer")
    connection = await asyncpg.connect(world.databases["auth_server"], server_settings={"search_path": "auth"})
    async with connection.transaction():
        await connection.execute("SELECT set_config('app.client_id', $1, true)", str(client))
        await connection.execute("SELECT set_config('app.user_id', $1, true)", str(tenant.owner))
        assert [row["id"] for row in await connection.fetch("SELECT id FROM oauth_client")] == [client]
        assert [row["id"] for row in await connection.fetch("SELECT id FROM membership")] == [tenant.owner]
        assert [row["tenant_id"] for row in await connection.fetch("SELECT tenant_id FROM tenant")] == [tenant.id]
        assert await connection.execute("UPDATE oauth_client SET name = 'x'") == "UPDATE 0"
        assert await connection.execute("UPDATE membership SET roles = '{owner}'") == "UPDATE 0"
        assert other != client
    await connection.close()


async def test_the_keeper_reads_states_and_no_secrets(world: World) -> None:
    """The worker that acts across tenants reaches only what its policies and grants name."""
    connection = await asyncpg.connect(world.databases["auth_keeper"], server_settings={"search_path": "auth"})
    try:
        for table in ("identity", "membership", "oauth_client", "client_secret", "refresh_token", "signing_key"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT FROM {table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE tenant SET status = 'suspended'")
    finally:
        await connection.close()
