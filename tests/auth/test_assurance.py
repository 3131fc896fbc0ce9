"""A tenant that asks for a second factor: what was opened without one is not refreshed, and grants know how they came."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc import jws

from libs.common.context import Context, utc_now
from services.auth import authentication, totp
from services.auth.commands import tenants
from tests.auth.browsing import App, browser, register
from tests.auth.test_second_factor import first_step, keeping, owner_with_app, second_step
from tests.auth.world import PASSWORD, Tenant, World

TOO_WEAK = "log in again and set one up"


async def require(tenant: Tenant, hours: int = 0) -> dict[str, Any]:
    """Let the tenant ask for a second factor, with a grace."""
    async with tenant.caller() as http:
        answer = await http.put("/v1/tenants/current/policy", json={"second_factor": "required", "grace_hours": hours})
    assert answer.status_code == 200, answer.text
    policy: dict[str, Any] = answer.json()
    return policy


async def refreshed(world: World, token: str) -> httpx.Response:
    async with world.client() as http:
        return await http.post("/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": token})


async def strong(tenant: Tenant) -> dict[str, Any]:
    """Log in by both factors."""
    app = await owner_with_app(tenant)
    answer = await second_step(tenant.world, await first_step(tenant.world, tenant), app.code())
    tokens: dict[str, Any] = answer.json()
    return tokens


async def test_logins_without_a_factor_are_not_refreshed(tenant: Tenant, world: World) -> None:
    """The policy acts at once on what was opened before, in words that say what to do (S10)."""
    tokens = await tenant.login()
    await require(tenant)
    refused = await refreshed(world, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert TOO_WEAK in refused.json()["error_description"]
    async with world.client() as http:
        me = await http.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.status_code == 200


async def test_the_refusal_is_told(tenant: Tenant, world: World) -> None:
    """A refused refresh is an event of the tenant, with its reason (S39)."""
    tokens = await tenant.login()
    await require(tenant)
    await refreshed(world, tokens["refresh_token"])
    assert [event["data"]["reason"] for event in await world.outbox(tenant.id) if "failed" in event["type"]] == [
        "too-weak"
    ]


async def test_logins_by_two_factors_go_on(tenant: Tenant, world: World) -> None:
    """Who has shown a factor is not asked again, and a token that was refused before works again after the policy."""
    weak, both = await tenant.login(), await strong(tenant)
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {both['access_token']}"
        await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
        assert (await refreshed(world, weak["refresh_token"])).status_code == 400
        following = await refreshed(world, both["refresh_token"])
        assert following.status_code == 200
        assert (await refreshed(world, following.json()["refresh_token"])).status_code == 200
        await http.put("/v1/tenants/current/policy", json={"second_factor": "optional"})
    assert (await refreshed(world, weak["refresh_token"])).status_code == 200


async def test_a_grace_lets_earlier_logins_go_on_for_a_while(tenant: Tenant, world: World) -> None:
    """Within it they are refreshed; it can be cut short."""
    tokens = await tenant.login()
    shown = await require(tenant, hours=24)
    assert shown["second_factor_from"] is not None
    following = await refreshed(world, tokens["refresh_token"])
    assert following.status_code == 200
    context = Context(tenant.id, f"user:{tenant.owner}", utc_now() - timedelta(seconds=1))
    async with world.runtime.database.transaction(context) as tx:
        await tenants.set_second_factor(tx, "required")
    assert (await refreshed(world, following.json()["refresh_token"])).status_code == 400


@pytest.mark.parametrize("hours", [-1, 721])
async def test_a_grace_has_bounds(tenant: Tenant, hours: int) -> None:
    """A month is the longest."""
    async with tenant.caller() as http:
        body = {"second_factor": "required", "grace_hours": hours}
        assert (await http.put("/v1/tenants/current/policy", json=body)).status_code == 422


async def test_what_a_client_was_given_is_not_refreshed_either(tenant: Tenant) -> None:
    """Grants remember how the person was logged in who gave them."""
    app = await register(tenant)
    given = await app.granted("run:read offline_access")
    await require(tenant)
    refused = await app.token(grant_type="refresh_token", refresh_token=given["refresh_token"])
    assert (refused.status_code, TOO_WEAK in refused.text) == (400, True)


async def test_there_is_time_to_install_an_app(tenant: Tenant, world: World) -> None:
    """Whoever has to set a factor up first has a quarter of an hour, whoever has one five minutes."""
    await require(tenant)
    for seconds, enrol in ((900, True), (300, False)):
        async with world.client() as http:
            answer = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
            assert answer.json()["expires_in"] == seconds
            if enrol:
                token = {"token": answer.json()["token"]}
                made = await http.post("/v1/login/second-factor/enrol", json=token)
                code = totp.code_at(keeping(made), totp.step_of(utc_now()))
                assert (await http.post("/v1/login/second-factor", json={**token, "code": code})).status_code == 200


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return found


async def test_an_id_token_says_how_somebody_logged_in(tenant: Tenant) -> None:
    """By password alone it says so (OpenID Connect Core, 2; RFC 8176)."""
    app: App = await register(tenant)
    said = claims_of((await app.granted("openid"))["id_token"])
    assert (said["amr"], said["acr"]) == (["pwd"], authentication.ONE_FACTOR)


async def test_an_id_token_says_that_there_were_two_factors(tenant: Tenant) -> None:
    """By password and code it names both, and that they were several."""
    app, phone, verifier = await register(tenant), await owner_with_app(tenant), "v" * 50
    async with browser(app.world) as person:
        page = await person.log_in(await person.open(app.request(verifier, scope="openid")), tenant.email)
        answer = await person.submit(await person.submit(page, code=phone.code()), decision="allow")
    code = httpx.URL(answer.headers["location"]).params["code"]
    said = claims_of((await app.redeem(code, verifier)).json()["id_token"])
    assert (said["amr"], said["acr"]) == (["pwd", "otp", "mfa"], authentication.TWO_FACTORS)
