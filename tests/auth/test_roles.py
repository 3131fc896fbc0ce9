"""Who may make whom what, who can go, and what becomes of tokens that say more than their holder may."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import httpx
import pytest

from libs.common.context import Context
from services.auth.permissions import PREDEFINED
from services.auth.store import accounts
from tests.auth.mailbox import Mailbox
from tests.auth.test_invitations import accept, invited, somebody
from tests.auth.test_refresh import me, refresh, until_refused
from tests.auth.world import PASSWORD, Tenant, World

LAST = "urn:regent:problem:last-owner"
Deed = Callable[[httpx.AsyncClient, UUID], Awaitable[httpx.Response]]


async def change(http: httpx.AsyncClient, id_: UUID, *roles: str) -> httpx.Response:
    """Give a user other roles."""
    read = await http.get(f"/v1/users/{id_}")
    body = {"name": "Nora", "roles": list(roles)}
    return await http.put(f"/v1/users/{id_}", json=body, headers={"If-Match": read.headers["etag"]})


async def demote(http: httpx.AsyncClient, id_: UUID) -> httpx.Response:
    return await change(http, id_, "viewer")


async def disable(http: httpx.AsyncClient, id_: UUID) -> httpx.Response:
    return await http.post(f"/v1/users/{id_}/disable")


async def remove(http: httpx.AsyncClient, id_: UUID) -> httpx.Response:
    return await http.delete(f"/v1/users/{id_}")


async def leave(http: httpx.AsyncClient, id_: UUID) -> httpx.Response:
    """Leave; `id_` says who else would be the last owner."""
    return await http.post("/v1/me/leave")


async def own_role(tenant: Tenant, name: str, *permissions: str) -> str:
    """Make a role of the tenant's own; returns its path."""
    async with tenant.caller() as owner:
        made = await owner.post("/v1/roles", json={"name": name, "permissions": list(permissions)})
    assert made.status_code == 201, made.text
    return made.headers["location"]


async def active_owners(tenant: Tenant) -> int:
    async with tenant.world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
        return len(await accounts.lock_owners(tx))


@pytest.mark.parametrize("deed", [demote, disable, remove])
async def test_the_last_owner_stays(tenant: Tenant, deed: Deed) -> None:
    """Somebody with every right but an owner's role takes the last owner nothing: neither role nor place."""
    await own_role(tenant, "everything", *PREDEFINED["owner"])
    _, email = await tenant.user("everything")
    async with tenant.caller(email) as http:
        answer = await deed(http, tenant.owner)
    assert (answer.status_code, answer.json()["type"]) == (409, LAST)


async def test_the_last_owner_cannot_leave(tenant: Tenant) -> None:
    """Who is the only owner makes another one first."""
    second, email = await tenant.user("owner")
    async with tenant.caller() as http:
        assert (await disable(http, second)).status_code == 200
        assert (await leave(http, second)).json()["type"] == LAST
        await http.post(f"/v1/users/{second}/enable")
        assert (await leave(http, second)).status_code == 204
    assert (await tenant.login(email))["tenant_id"] == str(tenant.id)


@pytest.mark.parametrize("first", [demote, disable, remove, leave])
@pytest.mark.parametrize("second", [demote, disable, remove, leave])
async def test_of_two_owners_who_go_at_once_one_stays(tenant: Tenant, first: Deed, second: Deed) -> None:
    """Both requests wait at the owners' rows; whoever comes second finds the last owner."""
    other, email = await tenant.user("owner")
    async with tenant.caller() as one, tenant.caller(email) as two:
        async with tenant.world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
            await accounts.lock_owners(tx)
            both = asyncio.gather(
                first(two if first is leave else one, other), second(one if second is leave else two, tenant.owner)
            )
            await until_waiting(tenant, 2)
        answers = await both
    assert sorted(answer.status_code < 300 for answer in answers) == [False, True]
    assert {answer.status_code for answer in answers} <= {200, 204, 409}
    assert await active_owners(tenant) == 1


async def until_waiting(tenant: Tenant, number: int) -> None:
    """Wait until transactions wait for rows of memberships."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'"
    )
    async with asyncio.timeout(60):
        while True:
            async with tenant.world.runtime.database.connection() as connection:
                if await connection.fetchval(asked) >= number:
                    return
            await asyncio.sleep(0.02)


async def test_who_leaves_is_gone_from_this_tenant_only(tenant: Tenant, world: World) -> None:
    """Tokens are void within a second, the user is in no list, the account and its other tenants stay."""
    id_, email = await tenant.user("viewer")
    elsewhere = await world.tenant()
    await elsewhere.join(email, "viewer")
    async with world.client() as http:
        tokens = (
            await http.post("/v1/login", json={"email": email, "password": PASSWORD, "tenant": str(tenant.id)})
        ).json()
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        assert (await leave(http, id_)).status_code == 204
    await until_refused(world, tokens["access_token"])
    assert (await refresh(world, tokens["refresh_token"])).status_code == 400
    async with tenant.caller() as owner:
        assert (await owner.get(f"/v1/users/{id_}")).status_code == 404
    assert (await tenant.login(email))["tenant_id"] == str(elsewhere.id)
    said = [event["type"] for event in await world.outbox(tenant.id) if event["subject"] == str(id_)]
    assert said[-1] == "auth.user.left.v1"


async def test_who_was_removed_can_be_taken_in_again(tenant: Tenant) -> None:
    """Removing takes the membership, not the person."""
    id_, email = await tenant.user("viewer")
    async with tenant.caller() as owner:
        assert (await remove(owner, id_)).status_code == 204
        assert (await remove(owner, id_)).status_code == 404
    assert await tenant.join(email, "viewer") == id_
    await tenant.login(email)


async def test_nobody_removes_themselves_or_who_may_more(tenant: Tenant) -> None:
    """An administrator removes no owner; who goes, leaves."""
    id_, email = await tenant.user("admin")
    async with tenant.caller(email) as admin:
        assert (await remove(admin, tenant.owner)).status_code == 403
        assert (await remove(admin, id_)).json()["type"] == "urn:regent:problem:own-status"


async def test_clients_do_not_leave(tenant: Tenant, world: World) -> None:
    """Leaving is a person's."""
    token = (await world.token_for(*await tenant.oauth_client("viewer"))).json()["access_token"]
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        assert (await http.post("/v1/me/leave")).status_code == 403


@pytest.mark.parametrize("role", sorted(PREDEFINED))
async def test_an_administrator_gives_every_role_but_the_owners(tenant: Tenant, role: str) -> None:
    """What is handed out is what is held: no way leads from administrator to owner."""
    _, email = await tenant.user("admin")
    body = {"email": somebody(), "name": "Nora", "roles": [role]}
    async with tenant.caller(email) as admin:
        answers = [
            await admin.post("/v1/users", json=body),
            await admin.post("/v1/clients", json={"name": "c", "roles": [role]}),
            await admin.post("/v1/roles", json={"name": "copy", "permissions": sorted(PREDEFINED[role])}),
        ]
    assert [answer.status_code for answer in answers] == ([403] * 3 if role == "owner" else [202, 201, 201])


async def test_who_may_write_users_gives_only_what_they_have(tenant: Tenant) -> None:
    """A role that writes users and reads runs gives no more than that, and takes nothing from who has more."""
    await own_role(tenant, "desk", "user:read", "user:write", "run:read")
    await own_role(tenant, "reader", "run:read")
    _, email = await tenant.user("desk")
    reader, _ = await tenant.user("reader")
    operator, _ = await tenant.user("operator")
    async with tenant.caller(email) as desk:
        assert (await change(desk, reader, "reader", "desk")).status_code == 200
        refused = await change(desk, reader, "operator")
        assert (await change(desk, operator, "reader")).status_code == 403
        assert (await disable(desk, operator)).status_code == 403
        assert (await remove(desk, operator)).status_code == 403
    assert refused.status_code == 403
    assert "run:start" in refused.json()["permissions"]


async def test_who_may_less_loses_the_tokens_that_say_more(tenant: Tenant, world: World) -> None:
    """Demoted, somebody's tokens are void within a second; the next login has what is left (S11)."""
    id_, email = await tenant.user("operator")
    tokens = await tenant.login(email)
    async with tenant.caller() as owner:
        assert (await change(owner, id_, "viewer")).status_code == 200
    await until_refused(world, tokens["access_token"])
    assert (await refresh(world, tokens["refresh_token"])).status_code == 400
    assert "run:start" not in (await tenant.login(email))["scope"]


async def test_who_may_more_keeps_their_tokens(tenant: Tenant, world: World) -> None:
    """Another role beside the old ones ends no login; its permissions come with the next token."""
    id_, email = await tenant.user("viewer")
    tokens = await tenant.login(email)
    async with tenant.caller() as owner:
        assert (await change(owner, id_, "viewer", "operator")).status_code == 200
    following = (await refresh(world, tokens["refresh_token"])).json()
    assert "run:start" in following["scope"].split()
    await asyncio.sleep(1)
    assert await me(world, tokens["access_token"]) == 200


async def test_a_narrower_role_voids_what_it_gave(tenant: Tenant, world: World) -> None:
    """Whoever has the role, user or client, has no token with the lost permission a second later; others stay (S11)."""
    path = await own_role(tenant, "starter", "run:start", "run:read")
    _, email = await tenant.user("starter")
    _, other = await tenant.user("viewer")
    client = await tenant.oauth_client("starter")
    user, stays = await tenant.login(email), await tenant.login(other)
    system = (await world.token_for(*client)).json()
    async with tenant.caller() as owner:
        narrower = await owner.put(path, json={"permissions": ["run:read"]}, headers={"If-Match": '"1"'})
        assert narrower.status_code == 200, narrower.text
    await until_refused(world, user["access_token"])
    await until_refused(world, system["access_token"])
    assert (await world.token_for(*client)).json()["scope"] == "run:read"
    assert await me(world, stays["access_token"]) == 200


@pytest.mark.parametrize("deed", [demote, disable, remove])
async def test_an_invitation_is_worth_what_its_inviter_is(
    tenant: Tenant, world: World, mailbox: Mailbox, deed: Deed
) -> None:
    """Who invited and may no longer, or is gone, brings nobody in (S2)."""
    id_, email = await tenant.user("admin")
    mail = await invited(tenant, mailbox, somebody(), "operator", by=email)
    async with tenant.caller() as owner:
        assert (await deed(owner, id_)).status_code < 300
    assert (await accept(world, mail.token, password=PASSWORD)).status_code == 403


PROVIDER = """
INSERT INTO identity_provider VALUES
    ($1, $2, 'Okta', 'https://idp.test', 'c', 'x', '{}', '{}', false, '{starter}', false, '{}', true, 1, now())
"""
LINK = "INSERT INTO upstream_identity VALUES ($1, $2, $3, 'subject', $4, now())"


async def test_links_to_providers_go_with_the_membership(tenant: Tenant, world: World) -> None:
    """Who is removed does not come back by an identity provider that knew them."""
    id_, _ = await tenant.user("viewer")
    provider, link = uuid4(), uuid4()
    async with world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
        await tx.connection.execute(PROVIDER, tenant.id, provider)
        await tx.connection.execute(LINK, tenant.id, link, provider, id_)
    async with tenant.caller() as owner:
        assert (await remove(owner, id_)).status_code == 204
    async with world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM upstream_identity") == 0
    said = [event["type"] for event in await world.outbox(tenant.id) if event["subject"] == str(id_)]
    assert said[-2:] == ["auth.identity.unlinked.v1", "auth.user.removed.v1"]


async def test_a_role_that_a_provider_gives_stays(tenant: Tenant, world: World) -> None:
    """It could come back as another one otherwise, and be given to whoever arrives."""
    path = await own_role(tenant, "starter", "run:start")
    async with world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
        await tx.connection.execute(PROVIDER, tenant.id, uuid4())
    async with tenant.caller() as owner:
        assert (await owner.delete(path)).json()["type"] == "urn:regent:problem:role-in-use"
