"""Authorization codes: once, within a minute, for one client, URI and verifier."""

import asyncio
import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jws
from sqlalchemy import update

from libs.common.context import Context, utc_now
from services.auth.store.flows import authorization_code
from tests.auth.browsing import CALLBACK, App, browser, register
from tests.auth.test_refresh import me, until_refused
from tests.auth.world import PUBLIC_URL, Tenant, World


async def code_for(app: App, scope: str = "run:read", **asked: str) -> tuple[str, str]:
    """Return a fresh code and its verifier."""
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        answer = await person.allow(app, app.request(verifier, scope=scope, **asked))
    return answer["code"], verifier


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return claims


async def test_a_code_gives_a_token_for_the_user(app: App) -> None:
    """The token speaks for the user, names the client, and holds no more than was allowed (S11)."""
    code, verifier = await code_for(app)
    answer = await app.redeem(code, verifier)
    claims = claims_of(answer.json()["access_token"])
    assert answer.headers["cache-control"] == "no-store"
    assert (claims["sub"], claims["client_id"]) == (f"user:{app.tenant.owner}", app.id)
    assert (claims["scope"], claims["tenant_id"]) == ("run:read", str(app.tenant.id))
    assert "refresh_token" not in answer.json()
    assert await me(app.world, answer.json()["access_token"]) == 200


async def test_a_scope_gives_no_more_than_the_user_has(app: App) -> None:
    """A viewer who allows everything allows what a viewer may."""
    app = await register(app.tenant, scopes=["run:*", "user:write"])
    _, email = await app.tenant.user("viewer")
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        asked = app.request(verifier, scope="run:* user:write openid")
        code = (await person.allow(app, asked, email))["code"]
    answer = await app.redeem(code, verifier)
    assert answer.json()["scope"] == "openid run:read"


async def test_a_second_use_revokes_what_the_first_gave(app: App) -> None:
    """The access token dies everywhere and the refresh token with it (S11)."""
    code, verifier = await code_for(app, "run:read offline_access")
    tokens = (await app.redeem(code, verifier)).json()
    replay = await app.redeem(code, verifier)
    assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
    await until_refused(app.world, tokens["access_token"])
    refused = await app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


async def test_of_parallel_redemptions_one_succeeds(app: App) -> None:
    """Eight at once: one success (S11)."""
    code, verifier = await code_for(app)
    answers = await asyncio.gather(*(app.redeem(code, verifier) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_strangers_try_does_not_burn_it(app: App) -> None:
    """Another client of the tenant, or of another tenant, is refused; the right one still gets its token."""
    code, verifier = await code_for(app)
    neighbour, foreign = await register(app.tenant), await register(await app.world.tenant())
    for other in (neighbour, foreign):
        assert (await other.redeem(code, verifier)).json()["error"] == "invalid_grant"
    assert (await app.redeem(code, verifier)).status_code == 200


async def test_a_strangers_replay_revokes_nothing(app: App) -> None:
    """Only the code's own client can set the alarm off."""
    code, verifier = await code_for(app)
    token = (await app.redeem(code, verifier)).json()["access_token"]
    await (await register(app.tenant)).redeem(code, verifier)
    assert await me(app.world, token) == 200


WRONG = {
    "verifier": ({"code_verifier": "x" * 43}, "invalid_grant"),
    "short verifier": ({"code_verifier": "x"}, "invalid_grant"),
    "no verifier": ({"code_verifier": ""}, "invalid_request"),
    "uri": ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
    "no uri": ({"redirect_uri": ""}, "invalid_request"),
    "code": ({"code": "ac_" + "A" * 64}, "invalid_grant"),
    "odd code": ({"code": "ac_\x00ä"}, "invalid_grant"),
    "no code": ({"code": ""}, "invalid_request"),
}


@pytest.mark.parametrize(("changed", "error"), WRONG.values(), ids=WRONG.keys())
async def test_each_wrong_part_is_refused(app: App, changed: dict[str, str], error: str) -> None:
    """The code is bound to all that it was asked with."""
    code, verifier = await code_for(app)
    form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": verifier, **changed}
    sent = {name: value for name, value in form.items() if value}
    answer = await app.token(grant_type="authorization_code", **sent)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_code_lives_a_minute_at_most(app: App) -> None:
    """After that it is refused."""
    code, verifier = await code_for(app)
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        rows = await tx.connection.fetch("SELECT expires_at - created_at AS life FROM authorization_code")
        assert max(row["life"] for row in rows) <= timedelta(seconds=60)
        await tx.execute(update(authorization_code).values(expires_at=utc_now()))
    assert (await app.redeem(code, verifier)).json()["error"] == "invalid_grant"


async def test_a_disabled_user_gives_nothing(app: App) -> None:
    """Whoever is shut out between page and token gets none."""
    id_, email = await app.tenant.user("viewer")
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        code = (await person.allow(app, app.request(verifier), email))["code"]
    async with app.tenant.caller() as owner:
        await owner.post(f"/v1/users/{id_}/disable")
    assert (await app.redeem(code, verifier)).json()["error"] == "invalid_grant"


async def test_an_id_token_says_who_logged_in(app: App, world: World) -> None:
    """OpenID Connect: issuer, audience, nonce, the login's time, the access token's hash."""
    tokens = await app.granted("openid run:read", nonce="n-1")
    claims = claims_of(tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (PUBLIC_URL, app.id, "n-1")
    assert claims["sub"] == f"user:{app.tenant.owner}"
    assert abs(claims["auth_time"] - claims["iat"]) < 30
    assert claims["at_hash"]
    assert await me(world, tokens["id_token"]) == 401


async def test_nothing_usable_is_stored(app: App) -> None:
    """Neither tables nor events hold a code, a cookie or a verifier."""
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        code = (await person.allow(app, app.request(verifier)))["code"]
        cookie = person.http.cookies["__Host-regent_session"]
    events = str(await app.world.outbox(app.tenant.id))
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        for table in ("authorization_code", "browser_session"):
            events += str(await tx.connection.fetch(f"SELECT t::text FROM {table} t"))
    assert not any(text in events for text in (code, cookie, verifier))


async def test_a_public_client_needs_no_secret_and_takes_none(tenant: Tenant) -> None:
    """PKCE is its proof; a secret from nowhere is refused."""
    app = await register(tenant, kind="public")
    assert app.secret is None
    code, verifier = await code_for(app)
    assert (await app.redeem(code, verifier, client_secret="cs_x")).status_code == 401
    assert (await app.redeem(code, verifier)).status_code == 200


async def test_a_confidential_client_must_authenticate(app: App) -> None:
    """Its id alone is not enough."""
    code, verifier = await code_for(app)
    bare = App(app.tenant, app.id, None)
    assert (await bare.redeem(code, verifier)).json()["error"] == "invalid_client"


async def test_each_grant_is_allowed_by_name(app: App) -> None:
    """A client that was not registered for a grant is told so."""
    answer = await app.token(grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
