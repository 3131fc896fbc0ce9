"""Authlib's core under our endpoints: what its defaults would let out, and how it is carried."""

import asyncio
import logging
import secrets

import pytest

from libs.common.context import Context
from libs.common.settings import SettingsError
from services.auth.api.metadata import require_sound_metadata
from services.auth.core import bridge
from services.auth.protocol import DEVICE
from services.auth.store import grants
from tests.auth.browsing import App, browser, register
from tests.auth.test_device import decide, poll
from tests.auth.world import PUBLIC_URL, Tenant, World

VERIFIER = "v" * 50


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a client of every grant."""
    kinds = ["authorization_code", "refresh_token", "client_credentials", DEVICE]
    return await register(tenant, grant_types=kinds, roles=["viewer"])


async def test_no_token_is_in_the_debug_log(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """The core writes whatever it issues there, at each grant; what it gets from us shows nothing of itself."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="authlib")
    given = [await app.granted("openid run:read offline_access")]
    given.append((await app.token(grant_type="refresh_token", refresh_token=given[0]["refresh_token"])).json())
    given.append((await app.token(grant_type="client_credentials")).json())
    waiting = await begin_as(app)
    await decide(app, waiting, "allow")
    given.append((await poll(app, waiting)).json())
    logged = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("Issue token") for line in logged) == 4
    told = [tokens[name] for tokens in given for name in tokens if name.endswith("_token")]
    assert len(told) == 10
    assert not [text for text in [*told, app.secret or "", waiting["device_code"]] if text in "\n".join(logged)]


async def begin_as(app: App) -> dict[str, str]:
    """Let a device of a client that has a secret begin."""
    async with app.world.client() as http:
        form = {"scope": "run:read offline_access openid"}
        answer = await http.post("/oauth2/device_authorization", data=form, auth=(app.id, app.secret or ""))
    found: dict[str, str] = answer.json()
    return found


@pytest.mark.parametrize("query", ["a=b%20c", "flag", "a=%ff&b=+", "a=1&a=2"])
async def test_a_registered_query_stays_as_it_is(tenant: Tenant, query: str) -> None:
    """RFC 6749, 3.1.2: letter for letter, with a code and with an error; the core would write it anew."""
    uri = f"https://client.example/cb?{query}"
    app = await register(tenant, redirect_uris=[uri])
    async with browser(app.world) as person:
        refused = await person.open(app.request(VERIFIER, redirect_uri=uri, prompt="none"))
        page = await person.log_in(await person.open(app.request(VERIFIER, redirect_uri=uri)), tenant.email)
        answer = await person.submit(page, decision="allow")
    assert refused.headers["location"].startswith(f"{uri}&error=login_required&")
    assert answer.headers["location"].startswith(f"{uri}&code=")


@pytest.mark.parametrize("issuer", ["http://regent.example", "https://regent.example?a=1", "https://regent.example#a"])
def test_an_issuer_that_cannot_be_described_ends_the_start(issuer: str) -> None:
    """RFC 8414, 2: https, without query or fragment; a loopback address alone may do without."""
    with pytest.raises(SettingsError, match="REGENT_PUBLIC_URL"):
        require_sound_metadata(issuer)
    for sound in (PUBLIC_URL, "http://127.0.0.1:8080", "http://localhost:8080"):
        require_sound_metadata(sound)


async def test_what_fails_in_the_core_leaves_nothing(world: World, tenant: Tenant) -> None:
    """An error that nobody expects rolls everything back that hooks wrote, and the loop waits meanwhile for nobody."""
    kept = tenant.owner

    async def write(context: Context) -> None:
        async with world.runtime.database.transaction(context) as tx:

            def work() -> None:
                bridge.wait(grants.add_grant(tx, kept, "user:x", "password", None))
                raise LookupError

            await bridge.run(work)

    context = Context(tenant.id, "user:test")
    with pytest.raises(LookupError):
        await write(context)
    async with world.runtime.database.transaction(context) as tx:
        assert await grants.find_grant(tx, kept) is None


async def test_a_caller_who_leaves_ends_the_work(world: World, tenant: Tenant) -> None:
    """A request that is cancelled while a hook waits gives its connection back with nothing open."""
    reached = asyncio.Event()

    async def stay() -> None:
        async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:

            async def slow() -> None:
                reached.set()
                await tx.connection.execute("SELECT pg_sleep(30)")

            await bridge.run(lambda: bridge.wait(slow()))

    gone = asyncio.create_task(stay())
    await reached.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    answer = await world.token_for(tenant.owner, secrets.token_urlsafe(8))
    assert answer.status_code == 401
