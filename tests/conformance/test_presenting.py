"""How access tokens are presented (RFC 6750), and what tokens of the issuer say (RFC 9068, OpenID Connect Core)."""

import base64
import hashlib

import httpx
import orjson
import pytest

from tests.conformance.answers import refused
from tests.conformance.server import API, App, Person, Server
from tests.conformance.tokens import part

SCHEMES = ["Basic", "Token", "JWT", "DPoP", "Bearer,", "Digest", "MAC"]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_token_comes_as_bearer(server: Server, caller: httpx.AsyncClient, scheme: str) -> None:
    """Under no other scheme; a token that is bound to nothing is no DPoP token either."""
    await refused(caller, {"Authorization": f"{scheme} {server.forge.token()}"})


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer "])
async def test_a_scheme_is_read_as_http_says(server: Server, caller: httpx.AsyncClient, scheme: str) -> None:
    """In any case (RFC 9110, 11.1), and with one space or more behind it (RFC 6750, 2.1)."""
    answer = await caller.get(API, headers={"Authorization": f"{scheme} {server.forge.token()}"})
    assert answer.status_code == 200, answer.text


async def test_a_refusal_is_not_kept(person: Person, caller: httpx.AsyncClient) -> None:
    """RFC 9449, 8.2, and whoever logs in next is not shown it."""
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {person.access_token}"}):
        answer = await caller.get("/oauth2/userinfo", headers=headers)
        assert answer.status_code in (401, 403)
        assert "no-store" in answer.headers["cache-control"]


async def test_no_scheme(server: Server, caller: httpx.AsyncClient) -> None:
    """A token alone is none."""
    await refused(caller, {"Authorization": server.forge.token()})


async def test_two_headers(server: Server, caller: httpx.AsyncClient) -> None:
    """Two Authorization headers are refused, equal ones too."""
    value = f"Bearer {server.forge.token()}"
    await refused(caller, [("Authorization", value), ("Authorization", value)])


async def test_two_tokens_in_one_header(server: Server, caller: httpx.AsyncClient) -> None:
    """A list of credentials is refused."""
    token = server.forge.token()
    await refused(caller, {"Authorization": f"Bearer {token}, Bearer {token}"})


@pytest.mark.parametrize("name", ["access_token", "token", "bearer_token", "jwt", "authorization"])
async def test_no_token_in_the_query(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """Tokens in URLs end in logs (RFC 9700, 4.3.2)."""
    await refused(caller, {}, f"?{name}={server.forge.token()}")


@pytest.mark.parametrize("name", ["access_token", "token", "__Host-regent_session", "authorization"])
async def test_no_token_in_a_cookie(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """The API knows no cookies."""
    await refused(caller, {"Cookie": f"{name}={server.forge.token()}"})


@pytest.mark.parametrize("name", ["X-Tenant-Id", "X-User", "X-Authorization", "X-Forwarded-User", "X-Access-Token"])
async def test_no_identity_in_other_headers(server: Server, caller: httpx.AsyncClient, name: str) -> None:
    """What claims to come from a gateway says nothing."""
    await refused(caller, {name: server.forge.token()})


async def test_no_token_in_the_body(server: Server, caller: httpx.AsyncClient) -> None:
    """Nor in a form (RFC 6750, 2.2 is not supported)."""
    answer = await caller.post("/oauth2/userinfo", data={"access_token": server.forge.token(scope="openid")})
    assert answer.status_code == 401


async def test_an_id_token_is_no_access_token(person: Person, app: App) -> None:
    """It is for the client (RFC 9068, 2.1)."""
    tokens = await person.tokens(app, scope="openid report:read")
    assert (await person.server.api(tokens["access_token"])).status_code == 200
    assert (await person.server.api(tokens["id_token"])).status_code == 401


async def test_a_refresh_token_is_no_access_token(person: Person, app: App) -> None:
    """It is for the token endpoint."""
    tokens = await person.tokens(app)
    assert (await person.server.api(tokens["refresh_token"])).status_code == 401


async def test_an_access_token_is_no_refresh_token(person: Person, app: App) -> None:
    """It is for the API."""
    tokens = await person.tokens(app)
    answer = await app.refresh(tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_an_access_token_has_what_rfc_9068_asks_for(person: Person, app: App) -> None:
    """Header and claims of RFC 9068, 2: all of them, and an identifier of its own each time."""
    seen = set()
    for _ in range(2):
        header, claims, _ = (await person.tokens(app))["access_token"].split(".")
        shown = [orjson.loads(_decoded(text)) for text in (header, claims)]
        assert shown[0]["typ"] == "at+jwt"
        assert shown[0]["alg"] == "ES256"
        assert set(shown[1]) >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"}
        assert shown[1]["client_id"] == app.id
        assert shown[1]["sub"] == f"user:{person.id}"
        seen.add(shown[1]["jti"])
    assert len(seen) == 2


async def test_the_id_token_fits_its_access_token(person: Person, app: App) -> None:
    """`at_hash`, `nonce`, `auth_time` and a single audience (OpenID Connect Core, 2 and 3.1.3.6)."""
    tokens = await person.tokens(app, scope="openid", nonce="n-1")
    claims = orjson.loads(_decoded(tokens["id_token"].split(".")[1]))
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == part(half)
    assert claims["nonce"] == "n-1"
    assert claims["aud"] in (app.id, [app.id])
    assert isinstance(claims["auth_time"], int)


async def test_no_id_token_without_openid(person: Person, app: App) -> None:
    """It comes where the scope asks for it."""
    assert "id_token" not in await person.tokens(app, scope="report:read")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
