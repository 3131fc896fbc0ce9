"""Device authorization (RFC 8628): a device waits, a person decides elsewhere."""

import asyncio
from typing import Any

import httpx
import pytest

from libs.common.context import Context
from services.auth.protocol import DEVICE
from tests.auth.browsing import App, Browser, browser, register
from tests.auth.test_code import claims_of
from tests.auth.test_refresh import me
from tests.auth.world import PUBLIC_URL, Tenant


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a command line's client."""
    return await register(tenant, kind="public", grant_types=[DEVICE, "refresh_token"], redirect_uris=[])


async def begin(app: App, scope: str = "run:read offline_access openid", **asked: str) -> dict[str, Any]:
    async with app.world.client() as http:
        answer = await http.post("/oauth2/device_authorization", data={"client_id": app.id, "scope": scope, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def poll(app: App, begun: dict[str, Any]) -> httpx.Response:
    return await app.token(grant_type=DEVICE, device_code=begun["device_code"])


async def patient(app: App) -> None:
    """Let the time between two polls pass."""
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        await tx.connection.execute("UPDATE device_authorization SET polled_at = polled_at - interval '1 hour'")


async def logged_in(person: Browser, app: App, begun: dict[str, Any], email: str | None = None) -> httpx.Response:
    page = await person.http.get(begun["verification_uri_complete"].removeprefix(PUBLIC_URL))
    answer = await person.log_in(page, email or app.tenant.email)
    assert answer.status_code == 303, answer.text
    return await person.http.get(answer.headers["location"])


async def decide(app: App, begun: dict[str, Any], decision: str) -> httpx.Response:
    async with browser(app.world) as person:
        asked = await person.submit(await logged_in(person, app, begun))
        assert "Ledger &lt;b&gt;" in asked.text
        return await person.submit(asked, decision=decision)


async def test_a_device_gets_its_tokens_once_a_person_allows_it(app: App) -> None:
    """Pending before, tokens after, nothing a second time."""
    begun = await begin(app)
    assert (await poll(app, begun)).json()["error"] == "authorization_pending"
    assert (await decide(app, begun, "allow")).status_code == 200
    answer = await poll(app, begun)
    assert {"access_token", "refresh_token", "id_token"} <= set(answer.json())
    assert await me(app.world, answer.json()["access_token"]) == 200
    assert (await poll(app, begun)).json()["error"] == "invalid_grant"


async def test_of_parallel_polls_one_succeeds(app: App) -> None:
    """An allowed code is worth one set of tokens (S11)."""
    begun = await begin(app)
    await decide(app, begun, "allow")
    answers = await asyncio.gather(*(poll(app, begun) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_denied_device_is_told(app: App) -> None:
    """`access_denied`, and no code to allow any more."""
    begun = await begin(app)
    await decide(app, begun, "deny")
    assert (await poll(app, begun)).json()["error"] == "access_denied"
    async with browser(app.world) as person:
        assert (await person.submit(await logged_in(person, app, begun))).status_code == 400


async def test_haste_is_slowed_down(app: App) -> None:
    """Polling faster than the interval is told so, and patience helps."""
    begun = await begin(app)
    await poll(app, begun)
    assert (await poll(app, begun)).json()["error"] == "slow_down"
    await patient(app)
    assert (await poll(app, begun)).json()["error"] == "authorization_pending"


async def test_an_expired_code_is_told(app: App) -> None:
    """After ten minutes nobody can allow it."""
    begun = await begin(app)
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        await tx.connection.execute("UPDATE device_authorization SET expires_at = now()")
    assert (await poll(app, begun)).json()["error"] == "expired_token"


async def test_a_device_code_is_its_clients(app: App) -> None:
    """Another client gets nothing for it; an unregistered client cannot begin."""
    begun = await begin(app)
    await decide(app, begun, "allow")
    other = await register(app.tenant, kind="public", grant_types=[DEVICE], redirect_uris=[])
    assert (await poll(other, begun)).json()["error"] == "invalid_grant"
    assert (await poll(app, begun)).status_code == 200
    plain = await register(app.tenant)
    async with app.world.client() as http:
        answer = await http.post(
            "/oauth2/device_authorization", auth=(plain.id, plain.secret or ""), data={"scope": "run:read"}
        )
    assert answer.json()["error"] == "unauthorized_client"


async def test_codes_of_other_tenants_are_unknown(app: App) -> None:
    """A person allows devices of their own tenant only (S37)."""
    begun, stranger = await begin(app), await app.world.tenant()
    async with browser(app.world) as person:
        page = await logged_in(person, app, begun, stranger.email)
        assert (await person.submit(page)).status_code == 400
    assert (await poll(app, begun)).json()["error"] == "authorization_pending"


async def test_guessing_user_codes_is_throttled(app: App) -> None:
    """Five wrong codes, then the right one waits as well (S10)."""
    begun = await begin(app)
    async with browser(app.world) as person:
        page = await logged_in(person, app, begun)
        guesses = [await person.submit(page, user_code="BBBB-BBBB") for _ in range(5)]
        right = await person.submit(page)
    assert [answer.status_code for answer in guesses] == [400] * 5
    assert right.status_code == 429


async def test_a_code_is_compared_as_people_type(app: App) -> None:
    """Small letters, spaces, no hyphen."""
    begun = await begin(app)
    async with browser(app.world) as person:
        page = await logged_in(person, app, begun)
        text = " " + begun["user_code"].lower().replace("-", " ")
        assert (await person.submit(page, user_code=text)).status_code == 200


async def test_nothing_usable_is_stored(app: App) -> None:
    """The table holds neither code."""
    begun = await begin(app)
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        dump = str(await tx.connection.fetch("SELECT t::text FROM device_authorization t"))
    assert begun["device_code"] not in dump
    assert begun["user_code"] not in dump


async def test_a_device_names_what_its_token_is_for(app: App) -> None:
    """The resource (RFC 8707) of the device's request is that of its token; another one is no target."""
    begun = await begin(app, resource=f"{PUBLIC_URL}/v1/runs")
    await decide(app, begun, "allow")
    form = {"grant_type": DEVICE, "device_code": begun["device_code"]}
    assert (await app.token(**form, resource=PUBLIC_URL)).json()["error"] == "invalid_target"
    assert claims_of((await app.token(**form)).json()["access_token"])["aud"] == f"{PUBLIC_URL}/v1/runs"
