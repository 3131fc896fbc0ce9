"""Tokens bound to a key (RFC 9449): stolen ones are worth nothing."""

import base64
import hashlib
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.auth.browsing import App, browser, register
from tests.auth.test_code import claims_of
from tests.auth.world import PUBLIC_URL, Tenant, World

KEY, OTHER = (ECKey.generate_key("P-256", private=True) for _ in range(2))
TOKEN_URL, ME_URL = f"{PUBLIC_URL}/oauth2/token", f"{PUBLIC_URL}/v1/me"
VERIFIER = "v" * 50


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a public client whose tokens are bound."""
    return await register(tenant, kind="public", dpop=True)


def proof(
    method: str = "POST", url: str = TOKEN_URL, key: ECKey = KEY, header: dict[str, Any] | None = None, **changed: Any
) -> str:
    claims = {"jti": str(uuid4()), "htm": method, "htu": url, "iat": int(time.time()), **changed}
    said = {name: value for name, value in claims.items() if value is not None}
    given = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    return jwt.encode(given, said, key, algorithms=["ES256"])


def ath(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


async def ask(app: App, text: str | None, **form: str) -> httpx.Response:
    headers = {"DPoP": text} if text else {}
    async with app.world.client() as http:
        return await http.post("/oauth2/token", data={"client_id": app.id, **form}, headers=headers)


async def redeemed(app: App, text: str | None, **asked: str) -> httpx.Response:
    async with browser(app.world) as person:
        scope = "run:read offline_access"
        answer = await person.allow(app, app.request(VERIFIER, scope=scope, **asked))
    form = {"code": answer["code"], "redirect_uri": "https://client.example/cb", "code_verifier": VERIFIER}
    return await ask(app, text, grant_type="authorization_code", **form)


async def me(world: World, token: str, *proofs: str, scheme: str = "DPoP") -> int:
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", text) for text in proofs)]
    async with world.client() as http:
        return (await http.get("/v1/me", headers=headers)).status_code


async def test_a_token_is_bound_to_the_key_that_asked(app: App, world: World) -> None:
    """Its thumbprint stands in the token, and the token works with a proof of that key (S11)."""
    tokens = (await redeemed(app, proof())).json()
    assert tokens["token_type"] == "DPoP"
    assert claims_of(tokens["access_token"])["cnf"] == {"jkt": KEY.thumbprint()}
    assert await me(world, tokens["access_token"], proof("GET", ME_URL, ath=ath(tokens["access_token"]))) == 200


async def test_a_stolen_token_is_worth_nothing(app: App, world: World) -> None:
    """Neither as Bearer, nor without proof, nor with another key's, another token's or a used one."""
    token = (await redeemed(app, proof())).json()["access_token"]
    good = proof("GET", ME_URL, ath=ath(token))
    assert await me(world, token, scheme="Bearer") == 401
    assert await me(world, token, good, scheme="Bearer") == 401
    assert await me(world, token) == 401
    assert await me(world, token, good, proof("GET", ME_URL, ath=ath(token))) == 401
    for bad in (
        proof("GET", ME_URL, key=OTHER, ath=ath(token)),
        proof("GET", ME_URL, ath=ath("other")),
        proof("GET", ME_URL),
        proof("POST", ME_URL, ath=ath(token)),
        proof("GET", f"{PUBLIC_URL}/v1/users", ath=ath(token)),
    ):
        assert await me(world, token, bad) == 401
    assert await me(world, token, good) == 200
    assert await me(world, token, good) == 401


async def test_a_plain_token_is_not_made_more_of(tenant: Tenant, world: World) -> None:
    """A token without a key is Bearer's, whatever proof comes with it."""
    token = (await tenant.login())["access_token"]
    assert await me(world, token, proof("GET", ME_URL, ath=ath(token))) == 401


PRIVATE = KEY.as_dict(private=True)
BAD: dict[str, dict[str, Any]] = {
    "method": {"method": "GET"},
    "url": {"url": f"{PUBLIC_URL}/oauth2/par"},
    "no id": {"jti": None},
    "empty id": {"jti": ""},
    "no time": {"iat": None},
    "old": {"iat": lambda: int(time.time()) - 600},
    "early": {"iat": lambda: int(time.time()) + 600},
    "text time": {"iat": "now"},
    "type": {"header": {"typ": "JWT"}},
    "private key": {"header": {"jwk": PRIVATE}},
    "foreign key": {"header": {"jwk": OTHER.as_dict(private=False)}},
    "symmetric key": {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "critical": {"header": {"crit": ["kid"], "kid": "x"}},
    "number nonce": {"nonce": 1},
    "infinite time": {"iat": 10**400},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD.keys())
async def test_each_bad_proof_is_refused(app: App, changed: dict[str, Any]) -> None:
    """In the words of RFC 9449."""
    made = {name: value() if callable(value) else value for name, value in changed.items()}
    answer = await ask(
        app, proof(**made), grant_type="authorization_code", code="x", redirect_uri="x", code_verifier="x"
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


async def test_a_client_that_binds_cannot_be_downgraded(app: App) -> None:
    """No proof, a used proof: no token."""
    assert (await redeemed(app, None)).json()["error"] == "invalid_dpop_proof"
    text = proof()
    assert (await redeemed(app, text)).status_code == 200
    assert (await redeemed(app, text)).json()["error"] == "invalid_dpop_proof"


async def test_a_code_may_be_bound_before(app: App) -> None:
    """dpop_jkt names the key that redeems the code."""
    assert (await redeemed(app, proof(key=OTHER), dpop_jkt=KEY.thumbprint())).json()["error"] == "invalid_grant"
    assert (await redeemed(app, proof(), dpop_jkt=KEY.thumbprint())).status_code == 200


async def test_a_refresh_token_is_bound_too(app: App) -> None:
    """Another key refreshes nothing, and burns nothing."""
    token = (await redeemed(app, proof())).json()["refresh_token"]
    stolen = await ask(app, proof(key=OTHER), grant_type="refresh_token", refresh_token=token)
    assert stolen.json()["error"] == "invalid_grant"
    answer = await ask(app, proof(), grant_type="refresh_token", refresh_token=token)
    assert answer.json()["token_type"] == "DPoP"


async def test_inspection_shows_the_key(tenant: Tenant, world: World) -> None:
    """A resource server learns what the token is bound to."""
    app = await register(tenant, grant_types=["client_credentials"], redirect_uris=[], scopes=None, roles=["viewer"])
    auth = (app.id, app.secret or "")
    async with world.client() as http:
        asked = await http.post(
            "/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth, headers={"DPoP": proof()}
        )
        shown = (await http.post("/oauth2/introspect", data={"token": asked.json()["access_token"]}, auth=auth)).json()
    assert (shown["token_type"], shown["cnf"]) == ("DPoP", {"jkt": KEY.thumbprint()})
