"""The authorization endpoint: who is redirected where, with what, and what its pages let nobody do."""

import secrets
from typing import Any
from urllib.parse import urlencode

import pytest

from libs.common.context import Context
from tests.auth.browsing import CALLBACK, App, browser, register, told
from tests.auth.world import PUBLIC_URL, Tenant

VERIFIER = "v" * 50


async def test_an_answer_names_state_and_issuer(app: App) -> None:
    """The state comes back as it was sent, with `iss` (RFC 9207) and the code, and nothing else."""
    async with browser(app.world) as person:
        answer = await person.allow(app, app.request(VERIFIER, state="a b&c=ü\n"))
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("a b&c=ü\n", PUBLIC_URL)


async def test_a_refusal_is_told(app: App) -> None:
    """Whoever does not allow it sends the client `access_denied`, with state and issuer."""
    async with browser(app.world) as person:
        page = await person.log_in(await person.open(app.request(VERIFIER)), app.tenant.email)
        answer = told(await person.submit(page, decision="deny"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "s&=1", PUBLIC_URL)


URIS = [
    "",
    CALLBACK + "/",
    CALLBACK + "?x=1",
    CALLBACK + "#x",
    CALLBACK + "%2f",
    CALLBACK + "/../cb",
    CALLBACK.upper(),
    CALLBACK.replace("https", "http"),
    "https://client.example:443/cb",
    "https://client.example.evil.example/cb",
    "https://user@client.example/cb",
    "https://client.example\\@evil.example/cb",
    "https://client.example/cb\t",
    "https://client.example/cb\\",
    " " + CALLBACK,
    CALLBACK + "\r\nX: y",
    "//client.example/cb",
    "javascript:alert(1)",
    "https://[::1/cb",
    "https://client.example:99999/cb",
    "http://127.0.0.1:1/cb",
    "\x00",
    "ä",
]


@pytest.mark.parametrize("uri", URIS)
async def test_no_other_uri_is_redirected_to(app: App, uri: str) -> None:
    """The URI is compared as a whole; a wrong one is told to the person only, never a 500 (S11)."""
    async with browser(app.world) as person:
        answer = await person.open(app.request(VERIFIER, redirect_uri=uri))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize("client", ["", "x", "00000000-0000-4000-8000-000000000000", "\x00", "ä"])
async def test_an_unknown_client_is_not_redirected(app: App, client: str) -> None:
    """A client that nobody registered has no URI to be told at."""
    async with browser(app.world) as person:
        answer = await person.open(app.request(VERIFIER, client_id=client))
    assert answer.status_code == 400
    assert "location" not in answer.headers


TOLD: dict[str, tuple[dict[str, str], str]] = {
    "token": ({"response_type": "token"}, "unsupported_response_type"),
    "id_token": ({"response_type": "id_token"}, "unsupported_response_type"),
    "hybrid": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "odd type": ({"response_type": "code\t\\"}, "unsupported_response_type"),
    "no type": ({"response_type": ""}, "invalid_request"),
    "no challenge": ({"code_challenge": ""}, "invalid_request"),
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "no method": ({"code_challenge_method": ""}, "invalid_request"),
    "short challenge": ({"code_challenge": "x"}, "invalid_request"),
    "unknown scope": ({"scope": "everything"}, "invalid_scope"),
    "wider scope": ({"scope": "run:read user:write"}, "invalid_scope"),
    "wildcard": ({"scope": "run:*"}, "invalid_scope"),
    "odd scope": ({"scope": 'run:read "x'}, "invalid_scope"),
    "request object": ({"request": "eyJ"}, "request_not_supported"),
    "fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "odd prompt": ({"prompt": "none login"}, "invalid_request"),
    "odd age": ({"max_age": "-1"}, "invalid_request"),
    "nobody there": ({"prompt": "none"}, "login_required"),
}


@pytest.mark.parametrize(("changed", "error"), TOLD.values(), ids=TOLD.keys())
async def test_other_errors_are_told_to_the_client(app: App, changed: dict[str, str], error: str) -> None:
    """They go to the registered URI with state and issuer, in the words of the standards."""
    async with browser(app.world) as person:
        answer = await person.open(app.request(VERIFIER, **changed))
    said = told(answer)
    assert answer.headers["location"].startswith(CALLBACK + "?")
    assert (said["error"], said["state"], said["iss"]) == (error, "s&=1", PUBLIC_URL)


@pytest.mark.parametrize("name", ["state", "scope", "response_type", "code_challenge", "prompt", "nonce"])
async def test_repeated_parameters_are_told(app: App, name: str) -> None:
    """Twice the same name means nothing (RFC 6749, 3.1)."""
    asked = {"nonce": "n", "prompt": "login", **app.request(VERIFIER)}
    async with browser(app.world) as person:
        said = told(await person.open(urlencode([*asked.items(), (name, asked[name])])))
    assert said["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_or_uri_is_not_redirected(app: App, name: str) -> None:
    """With two clients or two URIs there is none."""
    asked = app.request(VERIFIER)
    async with browser(app.world) as person:
        answer = await person.open(urlencode([*asked.items(), (name, asked[name])]))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_an_unreadable_query_is_no_500(app: App) -> None:
    """Neither broken UTF-8 nor a hundred parameters."""
    async with browser(app.world) as person:
        odd = [await person.open("client_id=%ff"), await person.open("&".join(f"a{n}=1" for n in range(100)))]
    assert [answer.status_code for answer in odd] == [400, 400]


async def test_a_known_consent_is_not_asked_again(app: App) -> None:
    """A confidential client with a living grant of that scope is answered at once; more is asked, as is `consent`."""
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        asked = app.request(verifier)
        assert told(await person.open({**asked, "prompt": "none"}))["error"] == "login_required"
        await app.redeem((await person.allow(app, asked))["code"], verifier)
        assert "code" in told(await person.open({**asked, "prompt": "none"}))
        wider = {**asked, "scope": "run:read report:read", "prompt": "none"}
        assert told(await person.open(wider))["error"] == "consent_required"
        assert (await person.open({**asked, "prompt": "consent"})).status_code == 200


async def test_a_public_client_is_always_asked_about(tenant: Tenant) -> None:
    """Anybody could be it (RFC 8252, 8.6)."""
    app = await register(tenant, kind="public")
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        await app.redeem((await person.allow(app, app.request(verifier)))["code"], verifier)
        answer = told(await person.open(app.request(verifier, prompt="none")))
    assert answer["error"] == "consent_required"


async def test_an_old_login_is_not_enough_where_a_new_one_is_asked(app: App) -> None:
    """max_age and prompt=login lead to the login page, and then on."""
    async with browser(app.world) as person:
        await person.allow(app, app.request(VERIFIER))
        async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
            await tx.connection.execute("UPDATE browser_session SET created_at = created_at - interval '1 hour'")
        assert 'name="password"' not in (await person.open(app.request(VERIFIER, max_age="7200"))).text
        for asked in ({"max_age": "60"}, {"prompt": "login"}):
            page = await person.open(app.request(VERIFIER, **asked))
            assert 'name="password"' in page.text
        assert "code" in told(await person.submit(await person.log_in(page, app.tenant.email), decision="allow"))


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"max_age": "60"}], ids=str)
async def test_an_old_form_is_no_fresh_login(app: App, asked: dict[str, str]) -> None:
    """Who keeps the form of a fresh login, and sends it an hour later, logs in again first."""
    async with browser(app.world) as person:
        form = await person.log_in(await person.open(app.request(VERIFIER, **asked)), app.tenant.email)
        async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
            await tx.connection.execute("UPDATE browser_session SET created_at = created_at - interval '1 hour'")
        answer = await person.submit(form, decision="allow")
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/oauth2/authorize")
        page = await person.http.get(answer.headers["location"])
        assert 'name="password"' in page.text
        assert "code" in told(await person.submit(await person.log_in(page, app.tenant.email), decision="allow"))


async def test_a_native_clients_loopback_may_have_any_port(tenant: Tenant) -> None:
    """For public clients only, for the loopback only, and only the port (RFC 8252, 7.3)."""
    uris = ["http://127.0.0.1/cb", "com.example.app:/cb"]
    app = await register(tenant, kind="public", redirect_uris=uris)
    async with browser(app.world) as person:
        good = ["http://127.0.0.1:54321/cb", *uris]
        bad = ["http://127.0.0.1:5/cb2", "http://localhost:5/cb", "http://127.0.0.1:0/cb", "com.example.app:/cb?x"]
        assert [(await person.open(app.request(VERIFIER, redirect_uri=uri))).status_code for uri in good] == [200] * 3
        assert [(await person.open(app.request(VERIFIER, redirect_uri=uri))).status_code for uri in bad] == [400] * 4


BAD: list[dict[str, Any]] = [
    {"redirect_uris": []},
    {"redirect_uris": ["http://client.example/cb"]},
    {"redirect_uris": ["https://client.example/cb#x"]},
    {"redirect_uris": ["https://*.example/cb\\"]},
    {"redirect_uris": ["com.example.app:/cb"]},
    {"redirect_uris": ["javascript:alert(1)"], "kind": "public"},
    {"scopes": []},
    {"scopes": ["everything"]},
    {"grant_types": ["client_credentials"], "kind": "public"},
    {"grant_types": ["refresh_token"]},
    {"jwks": {"keys": []}},
    {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
]


@pytest.mark.parametrize("changed", BAD, ids=str)
async def test_a_client_that_contradicts_itself_is_not_registered(tenant: Tenant, changed: dict[str, Any]) -> None:
    """What could not work, or not safely, is refused with the field's name."""
    body = {"name": "x", "roles": [], "grant_types": ["authorization_code"], "redirect_uris": [CALLBACK]}
    async with tenant.caller() as http:
        answer = await http.post("/v1/clients", json={**body, "scopes": ["run:read"], **changed})
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_what_a_change_leaves_out_stays(app: App) -> None:
    """Name and roles alone change name and roles alone."""
    async with app.tenant.caller() as http:
        before = (await http.get(f"/v1/clients/{app.id}")).json()
        answer = await http.put(
            f"/v1/clients/{app.id}", json={"name": "Other", "roles": []}, headers={"If-Match": '"1"'}
        )
    assert answer.json() == {**before, "name": "Other", "revision": 2}
