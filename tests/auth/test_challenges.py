"""What a refused caller of the API is told (RFC 6750, 3; RFC 9449, 7.1)."""

import base64
from typing import Any

import httpx
import pytest

from libs.common.identity.dpop import ALGORITHMS
from tests.auth.browsing import App, browser, register
from tests.auth.test_dpop import KEY, ME_URL, OTHER, ath, proof
from tests.auth.world import PUBLIC_URL, Tenant, World

DPOP = f'DPoP algs="{" ".join(ALGORITHMS)}"'


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a client of its own."""
    return await register(tenant, grant_types=["client_credentials"], redirect_uris=[], scopes=None, roles=["viewer"])


async def token(app: App, headers: dict[str, str] | None = None) -> str:
    async with app.world.client() as http:
        data = {"grant_type": "client_credentials"}
        answer = await http.post("/oauth2/token", data=data, auth=(app.id, app.secret or ""), headers=headers)
    text: str = answer.json()["access_token"]
    return text


async def told(world: World, *headers: tuple[str, str], path: str = "/v1/me") -> tuple[int, str]:
    async with world.client() as http:
        answer = await http.get(path, headers=list(headers))
    return answer.status_code, answer.headers.get("www-authenticate", "")


async def test_who_sends_nothing_is_told_both_schemes_and_no_error(world: World) -> None:
    """RFC 6750, 3.1: without authentication there is no error code."""
    assert await told(world) == (401, f'Bearer realm="regent", {DPOP}')
    basic = base64.b64encode(b"a:b").decode()
    assert await told(world, ("Authorization", f"Basic {basic}")) == (401, f'Bearer realm="regent", {DPOP}')


@pytest.mark.parametrize("text", ["rubbish", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_bad_token_is_named_as_such(world: World, text: str) -> None:
    """`invalid_token`, in the scheme that was used."""
    status, bearer = await told(world, ("Authorization", f"Bearer {text}"))
    assert status == 401
    assert bearer.startswith('Bearer realm="regent", error="invalid_token", error_description="')
    assert bearer.endswith(DPOP)
    status, dpop = await told(world, ("Authorization", f"DPoP {text}"))
    assert status == 401
    assert dpop.startswith('DPoP realm="regent", error="invalid_token"')
    assert 'algs="ES256' in dpop


async def test_two_tokens_are_a_malformed_request(world: World) -> None:
    """One request, one way to authenticate."""
    status, text = await told(world, ("Authorization", "Bearer a"), ("Authorization", "Bearer b"))
    assert (status, 'error="invalid_request"' in text) == (401, True)


async def test_what_a_bound_token_lacks_is_said(app: App, world: World) -> None:
    """As Bearer: invalid_token; without, with a bad or a used proof: invalid_dpop_proof; another key: invalid_token."""
    bound = await token(app, {"DPoP": proof()})
    used = proof("GET", ME_URL, ath=ath(bound))
    tries: list[tuple[str, list[str], str]] = [
        ("Bearer", [], "invalid_token"),
        ("DPoP", [], "invalid_dpop_proof"),
        ("DPoP", [proof("POST", ME_URL, ath=ath(bound))], "invalid_dpop_proof"),
        ("DPoP", [proof("GET", ME_URL, key=OTHER, ath=ath(bound))], "invalid_token"),
        ("DPoP", [used], ""),
        ("DPoP", [used], "invalid_dpop_proof"),
    ]
    for scheme, proofs, error in tries:
        headers = [("Authorization", f"{scheme} {bound}"), *(("DPoP", text) for text in proofs)]
        status, text = await told(world, *headers)
        assert status == (401 if error else 200)
        assert text.startswith(f'{scheme} realm="regent", error="{error}"') == bool(error)


async def test_a_missing_permission_is_named_as_a_scope(app: App, tenant: Tenant, world: World) -> None:
    """403 with `insufficient_scope` and what would be needed."""
    plain = await token(app)
    status, text = await told(world, ("Authorization", f"Bearer {plain}"), path="/v1/users")
    assert status == 403
    assert text.startswith('Bearer realm="regent", error="insufficient_scope"')
    assert text.endswith('scope="user:read"')
    status, text = await told(world, ("Authorization", f"Bearer {plain}"), path="/oauth2/userinfo")
    assert (status, 'scope="openid"' in text) == (403, True)


async def test_another_method_is_told_which_there_are(world: World) -> None:
    """405 comes with Allow (RFC 9110, 15.5.6)."""
    async with world.client() as http:
        answer = await http.get("/oauth2/token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def proven(app: App, nonce: str | None, **client: Any) -> httpx.Response:
    async with app.world.client() as http:
        data, headers = {"grant_type": "client_credentials"}, {"DPoP": proof(nonce=nonce)}
        return await http.post("/oauth2/token", data=data, auth=(app.id, app.secret or ""), headers=headers)


async def test_a_client_that_needs_nonces_is_given_one(tenant: Tenant) -> None:
    """`use_dpop_nonce` with the nonce in a header, then a token and the next nonce (RFC 9449, 8)."""
    app = await register(
        tenant,
        grant_types=["client_credentials"],
        redirect_uris=[],
        scopes=None,
        roles=["viewer"],
        dpop=True,
        dpop_nonce=True,
    )
    first = await proven(app, None)
    assert (first.status_code, first.json()["error"]) == (400, "use_dpop_nonce")
    second = await proven(app, first.headers["dpop-nonce"])
    assert (second.status_code, second.json()["token_type"]) == (200, "DPoP")
    assert second.headers["dpop-nonce"]


async def test_an_invented_nonce_is_answered_with_a_good_one(app: App) -> None:
    """Whoever uses nonces uses ours, needed or not."""
    bad = await proven(app, "invented")
    assert (bad.status_code, bad.json()["error"]) == (400, "use_dpop_nonce")
    assert (await proven(app, bad.headers["dpop-nonce"])).status_code == 200
    plain = await proven(app, None)
    assert (plain.status_code, "dpop-nonce" in plain.headers) == (200, False)


async def test_urls_are_compared_as_urls(app: App) -> None:
    """Case of the host, the default port, a query and needless escapes make no other URL (RFC 9449, 4.3)."""
    for url in ("https://REGENT.test:443/oauth2/token", f"{PUBLIC_URL}/oauth2/%74oken?x=1#y"):
        async with app.world.client() as http:
            data, headers = {"grant_type": "client_credentials"}, {"DPoP": proof(url=url)}
            answer = await http.post("/oauth2/token", data=data, auth=(app.id, app.secret or ""), headers=headers)
        assert answer.status_code == 200, answer.text


async def test_a_confidential_client_may_change_its_key(tenant: Tenant) -> None:
    """Its refresh token is bound by its authentication; what it then gets is bound to the key that it shows now."""
    app = await register(tenant, dpop=True)
    auth = (app.id, app.secret or "")
    assert app.secret
    given = await _refreshable(app)
    async with app.world.client() as http:
        data = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
        bare = await http.post("/oauth2/token", data=data, auth=auth)
        other = await http.post("/oauth2/token", data=data, auth=auth, headers={"DPoP": proof(key=OTHER)})
        shown = await http.post("/oauth2/introspect", data={"token": other.json()["access_token"]}, auth=auth)
    assert bare.json()["error"] == "invalid_dpop_proof"
    assert shown.json()["cnf"] == {"jkt": OTHER.thumbprint()}


async def _refreshable(app: App) -> dict[str, Any]:
    verifier = "v" * 50
    async with browser(app.world) as person:
        code = (await person.allow(app, app.request(verifier, scope="run:read offline_access")))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://client.example/cb"}
    async with app.world.client() as http:
        data, headers = {**form, "code_verifier": verifier}, {"DPoP": proof(key=KEY)}
        answer = await http.post("/oauth2/token", data=data, auth=(app.id, app.secret or ""), headers=headers)
    found: dict[str, Any] = answer.json()
    return found
