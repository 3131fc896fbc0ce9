"""Refresh tokens are used once; a second use ends everything that came of the login."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import update

from libs.common.context import Context, utc_now
from services.auth.opaque import RefreshToken
from services.auth.store.tables import refresh_token
from tests.auth.world import Tenant, World


async def refresh(world: World, token: str, **more: str) -> httpx.Response:
    async with world.client() as http:
        return await http.post("/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": token, **more})


async def me(world: World, token: str) -> int:
    async with world.client() as http:
        return (await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code


async def until_refused(world: World, token: str) -> None:
    """Wait until an access token is void here; how soon that is, test_revocation says."""
    async with asyncio.timeout(30):
        while await me(world, token) != 401:  # noqa: ASYNC110 - the state is polled, as everywhere
            await asyncio.sleep(0.05)


async def test_a_refresh_gives_new_tokens(tenant: Tenant, world: World) -> None:
    """The next refresh token works as the first did."""
    tokens: dict[str, Any] = await tenant.login()
    for _ in range(3):
        answer = await refresh(world, tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["refresh_token"] != tokens["refresh_token"]
        tokens = answer.json()
    assert await me(world, tokens["access_token"]) == 200


async def test_reuse_kills_the_family(tenant: Tenant, world: World) -> None:
    """After a replay neither the newest refresh token nor any access token works (S11)."""
    first = await tenant.login()
    second = (await refresh(world, first["refresh_token"])).json()
    replay = await refresh(world, first["refresh_token"])
    assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
    assert (await refresh(world, second["refresh_token"])).status_code == 400
    await until_refused(world, first["access_token"])
    await until_refused(world, second["access_token"])
    said = [event["type"] for event in await world.outbox(tenant.id)]
    assert said.count("auth.grant.revoked.v1") == 1
    assert "auth.session.failed.v1" in said


async def test_of_parallel_uses_at_most_one_succeeds(tenant: Tenant, world: World) -> None:
    """Eight at once: one goes on at most, and the family is dead afterwards (S11)."""
    tokens = await tenant.login()
    answers = await asyncio.gather(*(refresh(world, tokens["refresh_token"]) for _ in range(8)))
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert (await refresh(world, good[0]["refresh_token"])).status_code == 400


async def test_another_login_is_not_touched(tenant: Tenant, world: World) -> None:
    """A replay ends its own family only."""
    stolen, other = await tenant.login(), await tenant.login()
    for _ in range(2):
        await refresh(world, stolen["refresh_token"])
    assert (await refresh(world, other["refresh_token"])).status_code == 200


async def test_a_scope_narrows_and_never_widens(tenant: Tenant, world: World) -> None:
    """Less may be asked for; more is refused and leaves the token usable."""
    _, email = await tenant.user("viewer")
    tokens = await tenant.login(email)
    refused = await refresh(world, tokens["refresh_token"], scope="run:read user:write")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    narrow = await refresh(world, tokens["refresh_token"], scope="run:read")
    assert narrow.json()["scope"] == "run:read"


async def test_a_logout_ends_the_login(tenant: Tenant, world: World) -> None:
    """Its refresh token is refused from then on."""
    tokens = await tenant.login()
    async with world.client() as http:
        answer = await http.post("/v1/logout", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 204
    assert (await refresh(world, tokens["refresh_token"])).status_code == 400
    await until_refused(world, tokens["access_token"])


async def test_a_disabled_user_is_not_refreshed(tenant: Tenant, world: World) -> None:
    """Disabling voids tokens, and the address no longer logs in."""
    id_, email = await tenant.user("viewer")
    tokens = await tenant.login(email)
    async with tenant.caller() as owner:
        assert (await owner.post(f"/v1/users/{id_}/disable")).status_code == 200
    assert (await refresh(world, tokens["refresh_token"])).status_code == 400
    await until_refused(world, tokens["access_token"])


async def test_an_expired_token_is_refused(tenant: Tenant, world: World) -> None:
    """A login ends after its life, however often it was refreshed."""
    tokens = await tenant.login()
    presented = RefreshToken.read(tokens["refresh_token"])
    assert presented
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        ended = update(refresh_token).where(refresh_token.c.sha256 == presented.digest)
        assert await tx.execute(ended.values(expires_at=utc_now() - timedelta(seconds=1))) == 1
    assert (await refresh(world, tokens["refresh_token"])).status_code == 400


async def test_invented_tokens_are_refused(tenant: Tenant, world: World) -> None:
    """A token with the right tenant and grant and other random bits is unknown."""
    tokens = await tenant.login()
    presented = RefreshToken.read(tokens["refresh_token"])
    assert presented
    guess = RefreshToken.make(presented.tenant_id, presented.grant_id).text
    for text in (guess, "rt_", "rt_!!", "x", guess[:-4]):
        assert (await refresh(world, text)).json()["error"] == "invalid_grant"
    assert (await refresh(world, tokens["refresh_token"])).status_code == 200


async def test_nothing_usable_is_stored(tenant: Tenant, world: World) -> None:
    """Neither tables nor events hold a token, a secret, a password or an address."""
    tokens = await tenant.login()
    _, secret = await tenant.oauth_client("viewer")
    events = str(await world.outbox(tenant.id))
    for text in (tokens["refresh_token"], tokens["access_token"], secret, tenant.email, "Olga", "battery"):
        assert text not in events
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        for table in ("refresh_token", "client_secret"):
            dump = str(await tx.connection.fetch(f"SELECT t::text FROM {table} t"))
            assert tokens["refresh_token"] not in dump
            assert secret not in dump
