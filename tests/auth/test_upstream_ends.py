"""What came of a link ends with it: by whoever unlinks, disables or removes, at once."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.auth.browsing import App, browser, told
from tests.auth.idp import Provider, attempt, linked, opened, registered, sent

VERIFIER = "v" * 50
Ending = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


async def _disabled(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    shown = await http.get(f"/v1/identity-providers/{id_}")
    left_out = ("id", "issuer", "revision", "created_at", "redirect_uri")
    body = {name: value for name, value in shown.json().items() if name not in left_out}
    headers = {"If-Match": shown.headers["etag"]}
    return await http.put(f"/v1/identity-providers/{id_}", json={**body, "enabled": False}, headers=headers)


async def _removed(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    return await http.delete(f"/v1/identity-providers/{id_}")


async def _unlinked(http: httpx.AsyncClient, _id: str) -> httpx.Response:
    (own,) = (await http.get("/v1/me/identities")).json()["items"]
    return await http.post(f"/v1/me/identities/{own['id']}/unlink")


async def _unlinked_by_another(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    (one,) = (await http.get(f"/v1/identity-providers/{id_}/identities")).json()["items"]
    return await http.post(f"/v1/identity-providers/{id_}/identities/{one['id']}/unlink")


@pytest.mark.parametrize("end", [_disabled, _removed, _unlinked, _unlinked_by_another])
async def test_what_came_of_a_link_ends_with_it(app: App, provider: Provider, end: Ending) -> None:
    """S10: session, code and tokens are void within a second; what the password opened goes on."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    async with browser(app.world) as person, app.tenant.caller() as owner, app.world.client() as client:
        page = await person.http.get(provider.log_in(await sent(person, app, id_), "alice"))
        redeemed = await app.redeem(told(await person.submit(page, decision="allow"))["code"], VERIFIER)
        client.headers["Authorization"] = f"Bearer {redeemed.json()['access_token']}"
        assert (await client.get("/v1/me")).status_code == 200
        open_code = told(await person.open(app.request(VERIFIER)))["code"]
        assert (await end(owner, id_)).status_code in (200, 204)
        assert 'name="password"' in (await person.open(app.request(VERIFIER))).text
        assert (await app.redeem(open_code, VERIFIER)).status_code == 400
        for _ in range(50):
            if (status := (await client.get("/v1/me")).status_code) == 401:
                break
            await asyncio.sleep(0.02)
        assert status == 401
        assert (await owner.get("/v1/me")).status_code == 200
    assert not opened(await attempt_if_offered(app, provider, id_))


async def attempt_if_offered(app: App, provider: Provider, id_: str) -> httpx.Response:
    """Try to log in by a provider that may not be there any more."""
    async with browser(app.world) as person:
        query = "&".join(f"{name}={value}" for name, value in app.request(VERIFIER, state="x").items())
        begun = await person.http.get(f"/oauth2/upstream/{id_}", params={"request": query})
        if begun.status_code != 303:
            return begun
        return await person.http.get(provider.log_in(begun.headers["location"], "alice"))


async def test_a_disabled_user_stays_out(app: App, provider: Provider) -> None:
    """Who the tenant has shut out does not come in by its provider."""
    id_ = await registered(app.tenant, provider)
    user, email = await app.tenant.user("viewer")
    await linked(app.tenant, provider, id_, "uwe", email)
    async with app.tenant.caller() as http:
        await http.post(f"/v1/users/{user}/disable")
    answer = await attempt(app, provider, id_, "uwe")
    assert (answer.status_code, opened(answer)) == (403, False)
