"""A client may never do more than whoever owns it, whenever that changes; and nothing once they are gone."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest

from services.auth.protocol import DEVICE
from tests.auth.browsing import GRANTS, browser, register, told
from tests.auth.test_refresh import me, until_refused
from tests.auth.test_roles import change, disable, own_role, remove
from tests.auth.world import Tenant, World

REFUSED = (400, "unauthorized_client")


async def system_of(tenant: Tenant, email: str, *roles: str) -> tuple[UUID, str]:
    """Register a client in somebody's name; returns its id and secret."""
    async with tenant.caller(email) as http:
        answer = await http.post("/v1/clients", json={"name": "erp", "roles": list(roles)})
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["client_id"]), answer.json()["client_secret"]


async def got(world: World, client: tuple[UUID, str]) -> Any:
    """Return the client's next token, or its refusal."""
    answer = await world.token_for(*client)
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["error"])


async def test_a_client_is_its_makers(tenant: Tenant) -> None:
    """Whoever registers a client owns it, and everybody can see who."""
    id_, email = await tenant.user("admin")
    client, _ = await system_of(tenant, email, "viewer")
    async with tenant.caller() as owner:
        assert (await owner.get(f"/v1/clients/{client}")).json()["owner_id"] == str(id_)


async def test_what_a_client_registers_has_the_clients_owner(tenant: Tenant, world: World) -> None:
    """Nobody gets rid of their owner by a client in between."""
    id_, email = await tenant.user("admin")
    token = (await got(world, await system_of(tenant, email, "admin")))["access_token"]
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        made = (await http.post("/v1/clients", json={"name": "child", "roles": ["viewer"]})).json()
    assert made["owner_id"] == str(id_)
    async with tenant.caller() as owner:
        assert (await disable(owner, id_)).status_code == 200
    assert await got(world, (made["client_id"], made["client_secret"])) == REFUSED


async def test_a_client_shrinks_with_its_owner(tenant: Tenant, world: World) -> None:
    """Its token is void within a second, and the next says no more than the owner may do now (S11)."""
    id_, email = await tenant.user("admin")
    client = await system_of(tenant, email, "operator")
    token = (await got(world, client))["access_token"]
    async with tenant.caller() as owner:
        assert (await change(owner, id_, "viewer")).status_code == 200
    await until_refused(world, token)
    scope = set((await got(world, client))["scope"].split())
    assert "run:read" in scope
    assert not {name for name in scope if not name.endswith(":read")}


async def test_a_client_shrinks_with_its_owners_own_role(tenant: Tenant, world: World) -> None:
    """The same where the owner's role becomes narrower and not the owner's list of roles."""
    path = await own_role(tenant, "integrations", "client:write", "run:read", "run:start")
    _, email = await tenant.user("integrations")
    await own_role(tenant, "starter", "run:start", "run:read")
    client = await system_of(tenant, email, "starter")
    token = (await got(world, client))["access_token"]
    async with tenant.caller() as owner:
        body = {"permissions": ["client:write", "run:read"]}
        assert (await owner.put(path, json=body, headers={"If-Match": '"1"'})).status_code == 200
    await until_refused(world, token)
    assert (await got(world, client))["scope"] == "run:read"


async def test_a_client_does_not_grow_with_its_owner(tenant: Tenant, world: World) -> None:
    """Its own roles are the other bound."""
    id_, email = await tenant.user("admin")
    client = await system_of(tenant, email, "viewer")
    before = (await got(world, client))["scope"]
    async with tenant.caller() as owner:
        assert (await change(owner, id_, "owner")).status_code == 200
    assert (await got(world, client))["scope"] == before


async def leave(tenant: Tenant, id_: UUID, email: str) -> None:
    async with tenant.caller(email) as http:
        assert (await http.post("/v1/me/leave")).status_code == 204


async def by_owner(tenant: Tenant, id_: UUID, deed: Callable[[httpx.AsyncClient, UUID], Awaitable[Any]]) -> None:
    async with tenant.caller() as http:
        assert (await deed(http, id_)).status_code < 300


PARTINGS = {
    "left": leave,
    "disabled": lambda tenant, id_, _: by_owner(tenant, id_, disable),
    "removed": lambda tenant, id_, _: by_owner(tenant, id_, remove),
}


@pytest.mark.parametrize("part", PARTINGS.values(), ids=PARTINGS.keys())
async def test_without_its_owner_a_client_is_refused(tenant: Tenant, world: World, part: Any) -> None:
    """Its token is void within a second, and it gets no other (S11)."""
    id_, email = await tenant.user("admin")
    client = await system_of(tenant, email, "viewer")
    token = (await got(world, client))["access_token"]
    await part(tenant, id_, email)
    await until_refused(world, token)
    assert await got(world, client) == REFUSED


async def test_a_client_returns_with_its_owner(tenant: Tenant, world: World) -> None:
    """Enabled again, the owner answers for it as before."""
    id_, email = await tenant.user("admin")
    client = await system_of(tenant, email, "viewer")
    async with tenant.caller() as owner:
        await disable(owner, id_)
        assert await got(world, client) == REFUSED
        await owner.post(f"/v1/users/{id_}/enable")
    assert "run:read" in (await got(world, client))["scope"]


async def test_an_orphan_is_adopted(tenant: Tenant, world: World) -> None:
    """Somebody who may all that the client may takes it over; others cannot."""
    id_, email = await tenant.user("admin")
    client = await system_of(tenant, email, "operator")
    await own_role(tenant, "clerk", "client:read", "client:write")
    _, clerk = await tenant.user("clerk")
    async with tenant.caller() as owner, tenant.caller(clerk) as less:
        await remove(owner, id_)
        assert (await less.post(f"/v1/clients/{client[0]}/adopt")).status_code == 403
        adopted = await owner.post(f"/v1/clients/{client[0]}/adopt")
    assert (adopted.status_code, adopted.json()["owner_id"]) == (200, str(tenant.owner))
    assert "run:start" in (await got(world, client))["scope"].split()


async def test_a_client_of_the_operator_has_no_owner(tenant: Tenant, world: World) -> None:
    """What is made on the machine itself depends on nobody of the tenant."""
    client, secret = await tenant.oauth_client("viewer")
    async with tenant.caller() as owner:
        assert (await owner.get(f"/v1/clients/{client}")).json()["owner_id"] is None
    assert "run:read" in (await got(world, (client, secret)))["scope"]


async def test_fewer_roles_void_the_clients_tokens(tenant: Tenant, world: World) -> None:
    """A client whose roles shrink has no token of before a second later (S11)."""
    client = await tenant.oauth_client("operator")
    token = (await got(world, client))["access_token"]
    async with tenant.caller() as owner:
        body = {"name": "erp", "roles": ["viewer"]}
        assert (await owner.put(f"/v1/clients/{client[0]}", json=body, headers={"If-Match": '"1"'})).status_code == 200
    await until_refused(world, token)
    assert "run:start" not in (await got(world, client))["scope"].split()


async def test_what_a_user_gave_shrinks_with_them(tenant: Tenant, world: World) -> None:
    """A grant that says more than its user may is void; one that does not goes on (S11)."""
    id_, email = await tenant.user("operator")
    scopes = ["run:start", "run:read", "offline_access"]
    app = await register(tenant, scopes=scopes)
    wide, narrow = [await given(app, email, scope) for scope in ("run:start offline_access", "run:read offline_access")]
    async with tenant.caller() as owner:
        assert (await change(owner, id_, "viewer")).status_code == 200
    await until_refused(world, wide["access_token"])
    again = await app.token(grant_type="refresh_token", refresh_token=wide["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    assert await me(world, narrow["access_token"]) == 200


async def test_what_a_user_gave_ends_when_they_leave(tenant: Tenant, world: World) -> None:
    """Neither the token nor its successor outlives the membership (S11)."""
    id_, email = await tenant.user("viewer")
    app = await register(tenant, scopes=["run:read", "offline_access"])
    tokens = await given(app, email, "run:read offline_access")
    await leave(tenant, id_, email)
    await until_refused(world, tokens["access_token"])
    again = await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert again.json()["error"] == "invalid_grant"


async def given(app: Any, email: str, scope: str) -> Any:
    """Go the whole way as somebody else than the owner."""
    verifier = "v" * 64
    async with browser(app.world) as person:
        code = (await person.allow(app, app.request(verifier, scope=scope), email))["code"]
    answer = await app.redeem(code, verifier)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def given_to_admins_app(tenant: Tenant) -> tuple[UUID, str, Any, Any]:
    """Return an administrator, their address, their client, and the tokens that somebody else gave it."""
    id_, email = await tenant.user("admin")
    app = await register(tenant, by=email, scopes=["run:read", "offline_access"], grant_types=[*GRANTS, DEVICE])
    _, viewer = await tenant.user("viewer")
    return id_, email, app, await given(app, viewer, "run:read offline_access")


@pytest.mark.parametrize("part", PARTINGS.values(), ids=PARTINGS.keys())
async def test_without_its_owner_a_client_does_nothing_for_others(tenant: Tenant, world: World, part: Any) -> None:
    """What users gave it is void within a second, and it can ask nobody for more: by browser, by device, by refresh."""
    id_, email, app, tokens = await given_to_admins_app(tenant)
    await part(tenant, id_, email)
    await until_refused(world, tokens["access_token"])
    again = await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    async with browser(world) as person, world.client() as http:
        asked = told(await person.open(app.request("v" * 64, scope="run:read")))
        device = await http.post("/oauth2/device_authorization", data={"scope": "run:read"}, auth=(app.id, app.secret))
    assert [again.json()["error"], asked["error"], device.json()["error"]] == ["unauthorized_client"] * 3


async def test_a_code_that_waits_ends_with_the_clients_owner(tenant: Tenant, world: World) -> None:
    """What a user allowed a moment before is not fetched any more."""
    id_, _, app, _ = await given_to_admins_app(tenant)
    async with browser(world) as person:
        code = (await person.allow(app, app.request("v" * 64, scope="run:read")))["code"]
    async with tenant.caller() as owner:
        await remove(owner, id_)
    assert (await app.redeem(code, "v" * 64)).json()["error"] == "unauthorized_client"


async def test_what_would_end_with_somebody_can_be_listed(tenant: Tenant) -> None:
    """Before somebody goes, an administrator sees what they answer for."""
    id_, email = await tenant.user("admin")
    client, _ = await system_of(tenant, email, "viewer")
    await system_of(tenant, tenant.email, "viewer")
    async with tenant.caller() as owner:
        found = (await owner.get("/v1/clients", params={"owner_id": str(id_)})).json()["items"]
    assert [one["id"] for one in found] == [str(client)]


async def test_whoever_adopts_a_client_before_keeps_it_going(tenant: Tenant, world: World) -> None:
    """The explicit way: its tokens, and those that users gave it, outlive its former owner."""
    id_, _, app, tokens = await given_to_admins_app(tenant)
    async with tenant.caller() as owner:
        assert (await owner.post(f"/v1/clients/{app.id}/adopt")).status_code == 200
        assert (await remove(owner, id_)).status_code == 204
    await asyncio.sleep(1.2)  # longer than a revocation takes
    assert await me(world, tokens["access_token"]) == 200
    again = await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert again.status_code == 200, again.text


async def test_a_clients_token_says_who_answers_for_it(tenant: Tenant, world: World) -> None:
    """Who may not approve their own work may not do so by a client of theirs: every service can tell."""
    id_, email = await tenant.user("admin")
    token = (await got(world, await system_of(tenant, email, "viewer")))["access_token"]
    payload = token.split(".")[1]
    said = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (said["owner_id"], said["sub"].partition(":")[0]) == (str(id_), "client")
