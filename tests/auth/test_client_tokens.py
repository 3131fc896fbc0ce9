"""What clients do with tokens: refresh, revoke, inspect; and what they learn of users."""

from typing import Any

import pytest

from tests.auth.browsing import App, register
from tests.auth.test_refresh import me, until_refused
from tests.auth.world import Tenant, World


async def refresh(app: App, token: str, **more: str) -> dict[str, Any]:
    found: dict[str, Any] = (await app.token(grant_type="refresh_token", refresh_token=token, **more)).json()
    return found


async def ask(app: App, endpoint: str, token: str, status: int = 200) -> dict[str, Any]:
    async with app.world.client() as http:
        answer = await http.post(f"/oauth2/{endpoint}", data={"token": token}, auth=(app.id, app.secret or ""))
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else {}


async def test_a_refresh_token_turns_and_its_reuse_kills_the_family(app: App) -> None:
    """Rotation for clients as for people (S11)."""
    first = await app.granted("run:read offline_access")
    second = await refresh(app, first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert (await refresh(app, first["refresh_token"]))["error"] == "invalid_grant"
    assert (await refresh(app, second["refresh_token"]))["error"] == "invalid_grant"
    await until_refused(app.world, second["access_token"])


async def test_a_refresh_token_is_its_clients_alone(app: App) -> None:
    """Another client's try, or nobody's, is refused and does not burn it."""
    token = (await app.granted("run:read offline_access"))["refresh_token"]
    assert (await refresh(await register(app.tenant), token))["error"] == "invalid_grant"
    async with app.world.client() as http:
        bare = await http.post("/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": token})
    assert bare.json()["error"] == "invalid_grant"
    assert "access_token" in await refresh(app, token)


async def test_a_persons_own_login_is_no_clients(app: App) -> None:
    """A client cannot refresh what a person got by their password."""
    token = (await app.tenant.login())["refresh_token"]
    assert (await refresh(app, token))["error"] == "invalid_grant"


async def test_a_scope_does_not_grow(app: App) -> None:
    """Less may be asked for, never more than the user allowed."""
    tokens = await app.granted("run:read offline_access")
    assert (await refresh(app, tokens["refresh_token"], scope="run:read report:read"))["error"] == "invalid_scope"
    assert (await refresh(app, tokens["refresh_token"], scope="run:read"))["scope"] == "run:read"


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_grant(app: App, kind: str) -> None:
    """RFC 7009: both are void, everywhere within a second (S11)."""
    tokens = await app.granted("run:read offline_access")
    await ask(app, "revoke", tokens[kind])
    await until_refused(app.world, tokens["access_token"])
    assert (await refresh(app, tokens["refresh_token"]))["error"] == "invalid_grant"


async def test_revoking_reaches_nobody_elses_tokens(app: App) -> None:
    """Another client is told so (RFC 7009, 2.1), another tenant's answered as with rubbish; nothing happens."""
    tokens = await app.granted("run:read offline_access")
    other, stranger = await register(app.tenant), await register(await app.world.tenant())
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await ask(other, "revoke", token, 400))["error"] == "invalid_grant"
    for asking, token in ((other, "rubbish"), (stranger, "rubbish"), *((stranger, text) for text in tokens.values())):
        assert await ask(asking, "revoke", str(token)) == {}
    assert await me(app.world, tokens["access_token"]) == 200
    assert "access_token" in await refresh(app, tokens["refresh_token"])


async def test_inspection_says_what_a_token_is_good_for(app: App) -> None:
    """RFC 7662, for the token's own client."""
    tokens = await app.granted("run:read offline_access")
    access = await ask(app, "introspect", tokens["access_token"])
    token = await ask(app, "introspect", tokens["refresh_token"])
    assert (access["active"], access["client_id"], access["token_type"]) == (True, app.id, "Bearer")
    assert access["sub"] == token["sub"] == f"user:{app.tenant.owner}"
    assert token["active"]


async def test_inspection_tells_strangers_nothing(app: App) -> None:
    """Another client, another tenant's, used and revoked tokens: not active, and nothing else."""
    tokens = await app.granted("run:read offline_access")
    neighbour, foreign = await register(app.tenant), await register(await app.world.tenant())
    for other in (neighbour, foreign):
        assert await ask(other, "introspect", tokens["access_token"]) == {"active": False}
    await refresh(app, tokens["refresh_token"])
    for text in (tokens["refresh_token"], tokens["access_token"][:-2], "rubbish", "rt_"):
        assert await ask(app, "introspect", text) == {"active": False}
    await ask(app, "revoke", tokens["access_token"])
    assert await ask(app, "introspect", tokens["access_token"]) == {"active": False}


async def test_a_resource_server_inspects_its_tenants_tokens(app: App) -> None:
    """A client whose roles let it read grants sees tokens of other clients of its tenant."""
    server = await register(app.tenant, roles=["auditor"])
    token = (await app.granted())["access_token"]
    assert (await ask(server, "introspect", token))["active"]


async def test_public_clients_do_not_inspect(tenant: Tenant) -> None:
    """Anybody could be one."""
    app = await register(tenant, kind="public")
    async with app.world.client() as http:
        answer = await http.post("/oauth2/introspect", data={"token": "x", "client_id": app.id})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_userinfo_says_what_the_scope_allows(app: App, world: World) -> None:
    """The subject always; name and address by scope; nothing without openid."""
    async with world.client() as http:
        shown = []
        for scope in ("openid", "openid profile email", "run:read"):
            token = (await app.granted(scope))["access_token"]
            answer = await http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
            shown.append((answer.status_code, answer.json()))
    assert shown[0] == (200, {"sub": f"user:{app.tenant.owner}", "tenant_id": str(app.tenant.id)})
    assert (shown[1][1]["name"], shown[1][1]["email"]) == ("Olga Owner", app.tenant.email)
    assert shown[2][0] == 403


async def test_removing_a_client_ends_what_users_gave_it(app: App) -> None:
    """Its tokens die with it."""
    token = (await app.granted())["access_token"]
    async with app.tenant.caller() as http:
        assert (await http.delete(f"/v1/clients/{app.id}")).status_code == 204
    await until_refused(app.world, token)


async def test_a_narrower_registration_ends_what_was_given_before(app: App) -> None:
    """A scope that a client may no longer ask for is no longer in anybody's grant."""
    token = (await app.granted("run:read"))["access_token"]
    async with app.tenant.caller() as http:
        body = {"name": "x", "roles": [], "scopes": ["report:read"]}
        assert (await http.put(f"/v1/clients/{app.id}", json=body, headers={"If-Match": '"1"'})).status_code == 200
    await until_refused(app.world, token)
