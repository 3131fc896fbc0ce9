"""OpenID Connect Core and RP-Initiated Logout, where they go beyond OAuth."""

import secrets
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.auth.browsing import App, Browser, browser, register, told
from tests.auth.test_code import claims_of
from tests.auth.world import PUBLIC_URL, Tenant, World

VERIFIER = "v" * 50
BYE = "https://client.example/bye"


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a confidential client that people may be led back to after logging out."""
    return await register(tenant, post_logout_redirect_uris=[BYE])


async def let_in(person: Browser, app: App, email: str | None = None) -> str:
    """Log a person in to the client; returns the ID token that the client has of them."""
    given = await person.allow(app, app.request(VERIFIER, scope="openid offline_access"), email)
    answer = await app.redeem(given["code"], VERIFIER)
    text: str = answer.json()["id_token"]
    return text


async def test_a_request_may_come_as_a_form(app: App) -> None:
    """POST leads to GET with the same parameters (OpenID Connect Core, 3.1.2.1)."""
    async with browser(app.world) as person:
        answer = await person.http.post("/oauth2/authorize", data=app.request(VERIFIER))
        assert answer.status_code == 303
        page = await person.http.get(answer.headers["location"])
        page = await person.log_in(page, app.tenant.email)
        assert told(await person.submit(page, decision="allow"))["state"] == "s&=1"


async def test_what_is_no_form_is_refused(world: World) -> None:
    """Another content type, or a body with a line break, leads nowhere."""
    async with world.client() as http:
        answers = [
            await http.post("/oauth2/authorize", json={}),
            await http.post("/oauth2/authorize?x=1", data={"a": "b"}),
            await http.post(
                "/oauth2/authorize",
                content=b"a=b\r\nx: y",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            ),
        ]
    assert [(answer.status_code, "location" in answer.headers) for answer in answers] == [(400, False)] * 3


UNSUPPORTED = {
    "request": ({"request": "e30.e30."}, "request_not_supported"),
    "request_uri": ({"request_uri": "https://client.example/request.jwt"}, "request_uri_not_supported"),
    "registration": ({"registration": "{}"}, "registration_not_supported"),
    "response type": ({"response_type": "id_token"}, "unsupported_response_type"),
    "prompt": ({"prompt": "none login"}, "invalid_request"),
    "hint": ({"id_token_hint": "rubbish"}, "invalid_request"),
}


@pytest.mark.parametrize(("changed", "error"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
async def test_what_is_not_supported_has_its_own_error(app: App, changed: dict[str, str], error: str) -> None:
    """The client is told by its redirect URI (OpenID Connect Core, 3.1.2.6)."""
    async with browser(app.world) as person:
        answer = told(await person.open(app.request(VERIFIER, scope="openid", **changed)))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "s&=1", PUBLIC_URL)


async def test_what_is_unknown_is_passed_over(app: App) -> None:
    """Unknown parameters, the claims parameter and OpenID's other scopes change nothing (3.1.2.1, 5.4, 5.5)."""
    asked = {"scope": "openid phone address", "claims": '{"userinfo":{"x":null}}', "display": "wap", "unheard_of": "1"}
    async with browser(app.world) as person:
        given = await person.allow(app, app.request(VERIFIER, **asked))
    assert (await app.redeem(given["code"], VERIFIER)).json()["scope"] == "openid"


async def test_an_id_token_says_who_when_and_how(app: App, world: World) -> None:
    """Its claims (2), the same subject at userinfo (5.3.2), and again after a refresh (12.2)."""
    nonce = secrets.token_urlsafe(9)
    async with browser(world) as person:
        asked = app.request(VERIFIER, scope="openid offline_access", nonce=nonce, max_age="600")
        given = await person.allow(app, asked)
    first = (await app.redeem(given["code"], VERIFIER)).json()
    second = (await app.token(grant_type="refresh_token", refresh_token=first["refresh_token"])).json()
    before, after = claims_of(first["id_token"]), claims_of(second["id_token"])
    assert (before["nonce"], before["amr"], before["aud"]) == (nonce, ["pwd"], app.id)
    assert {"auth_time", "acr", "at_hash", "iat", "exp", "iss"} <= set(before)
    assert "nonce" not in after
    assert all(before[name] == after[name] for name in ("iss", "sub", "aud", "auth_time", "acr"))
    async with world.client() as http:
        header = {"Authorization": f"Bearer {second['access_token']}"}
        shown = [
            await http.get("/oauth2/userinfo", headers=header),
            await http.post("/oauth2/userinfo", headers=header),
        ]
    assert [answer.json()["sub"] for answer in shown] == [before["sub"]] * 2


async def test_an_id_token_is_signed_as_its_client_reads(app: App, world: World) -> None:
    """RS256 for who registers it, ES256 for others; access tokens stay ES256, and the key set verifies both."""
    old = await register(app.tenant, id_token_signed_response_alg="RS256")
    for client, algorithm in ((app, "ES256"), (old, "RS256")):
        tokens = await client.granted("openid")
        async with world.client() as http:
            known = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
        signed = jwt.decode(tokens["id_token"], known, algorithms=[algorithm])
        assert (signed.header["alg"], signed.claims["aud"]) == (algorithm, client.id)
        assert jwt.decode(tokens["access_token"], known, algorithms=["ES256"]).header["typ"] == "at+jwt"


async def test_an_id_token_is_no_access_token(app: App, world: World) -> None:
    """Whatever signs it, no service takes it (S11)."""
    old = await register(app.tenant, id_token_signed_response_alg="RS256")
    async with world.client() as http:
        for client in (app, old):
            header = {"Authorization": f"Bearer {(await client.granted('openid'))['id_token']}"}
            assert (await http.get("/v1/me", headers=header)).status_code == 401


async def test_a_hint_names_who_is_meant(app: App) -> None:
    """With prompt=none somebody else's session is nobody's: login_required; their own goes on."""
    _, other = await app.tenant.user("viewer")
    async with browser(app.world) as person:
        theirs = await let_in(person, app)
        silent = app.request(VERIFIER, scope="openid", prompt="none", id_token_hint=theirs)
        assert "code" in told(await person.open(silent))
    async with browser(app.world) as person:
        await let_in(person, app, other)
        assert told(await person.open(silent))["error"] == "login_required"
        foreign = await register(app.tenant)
        refused = foreign.request(VERIFIER, scope="openid", prompt="none", id_token_hint=theirs)
        assert told(await person.open(refused))["error"] == "invalid_request"


async def leave(person: Browser, **wish: str) -> httpx.Response:
    return await person.http.get(f"/oauth2/end_session?{urlencode(wish)}")


async def is_in(person: Browser, app: App) -> bool:
    return "code" in told(await person.open(app.request(VERIFIER, scope="openid", prompt="none")))


async def test_a_client_that_shows_whom_it_means_ends_the_session(app: App) -> None:
    """The browser is led back with the state, and the session is over."""
    async with browser(app.world) as person:
        hint = await let_in(person, app)
        assert await is_in(person, app)
        answer = await leave(person, id_token_hint=hint, post_logout_redirect_uri=BYE, state="a b")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=a%20b")
        assert not await is_in(person, app)


async def test_who_is_not_sure_asks_the_person(app: App) -> None:
    """Without a hint nothing ends until the person says so, on a form of this browser alone."""
    async with browser(app.world) as person:
        await let_in(person, app)
        page = await leave(person, client_id=app.id, post_logout_redirect_uri=BYE)
        assert page.status_code == 200
        assert await is_in(person, app)
        forged = await person.http.post("/oauth2/end_session/confirm", data={"request": "", "token": "x"})
        assert (forged.status_code, await is_in(person, app)) == (403, True)
        answer = await person.submit(page)
        assert (answer.status_code, answer.headers["location"]) == (303, BYE)
        assert not await is_in(person, app)


async def test_nobody_is_led_to_what_was_not_registered(app: App) -> None:
    """Another URI, another client's hint, a hint of nobody's, no client at all: a page, and the session stays."""
    other = await register(app.tenant, post_logout_redirect_uris=["https://other.example/"])
    async with browser(app.world) as person:
        hint = await let_in(person, app)
        for wish in (
            {"id_token_hint": hint, "post_logout_redirect_uri": "https://evil.example/"},
            {"id_token_hint": hint, "client_id": other.id, "post_logout_redirect_uri": "https://other.example/"},
            {"id_token_hint": hint[:-3] + "AAA", "post_logout_redirect_uri": BYE},
            {"post_logout_redirect_uri": BYE},
        ):
            answer = await leave(person, **wish)
            assert (answer.status_code, "location" in answer.headers) == (400, False)
        assert await is_in(person, app)


async def test_a_wish_may_come_as_a_form(app: App) -> None:
    """POST leads to GET with the same parameters."""
    async with browser(app.world) as person:
        hint = await let_in(person, app)
        answer = await person.http.post("/oauth2/end_session", data={"id_token_hint": hint})
        page = await person.http.get(answer.headers["location"])
        assert (answer.status_code, page.status_code, await is_in(person, app)) == (303, 200, False)
