"""Pushed requests (RFC 9126) and clients that sign who they are (RFC 7523)."""

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from libs.common.context import Context
from tests.auth.browsing import App, browser, register, told
from tests.auth.test_second_factor import owner_with_app
from tests.auth.world import PUBLIC_URL, Tenant

VERIFIER = "v" * 50
KEY = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a client that may push only."""
    return await register(tenant, require_par=True)


async def push(app: App, **changed: str) -> httpx.Response:
    async with app.world.client() as http:
        data = {**app.request(VERIFIER), **changed}
        return await http.post("/oauth2/par", data=data, auth=(app.id, app.secret or ""))


async def reference(app: App, **changed: str) -> dict[str, str]:
    answer = await push(app, **changed)
    assert answer.status_code == 201, answer.text
    assert answer.json()["expires_in"] <= 60
    return {"client_id": app.id, "request_uri": answer.json()["request_uri"]}


async def test_a_pushed_request_is_what_counts(app: App) -> None:
    """What the query says beside it is not heard."""
    brought = {**await reference(app), "scope": "user:write", "state": "other", "redirect_uri": "https://evil.example"}
    async with browser(app.world) as person:
        answer = await person.allow(app, brought)
    assert answer["state"] == "s&=1"
    assert (await app.redeem(answer["code"], VERIFIER)).json()["scope"] == "run:read"


async def test_a_pushed_request_is_answered_once(app: App) -> None:
    """After its answer it is unknown; a page that is loaded again before that is not."""
    brought = await reference(app)
    async with browser(app.world) as person:
        assert (await person.open(brought)).status_code == 200
        assert "code" in await person.allow(app, brought)
        again = await person.open(brought)
    assert (again.status_code, "location" in again.headers) == (400, False)


async def test_a_pushed_request_is_its_clients_and_lives_a_minute(app: App) -> None:
    """Another client's, an invented or an expired one leads nowhere."""
    brought, other = await reference(app), await register(app.tenant)
    async with browser(app.world) as person:
        assert (await person.open({**brought, "client_id": other.id})).status_code == 400
        assert (await person.open({**brought, "request_uri": "https://evil.example/r"})).status_code == 400
        async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
            await tx.connection.execute("UPDATE pushed_request SET expires_at = now() - interval '1 second'")
        assert (await person.open(brought)).status_code == 400


async def test_who_must_push_cannot_ask_plainly(app: App) -> None:
    """`require_par` is told to the client."""
    async with browser(app.world) as person:
        assert told(await person.open(app.request(VERIFIER)))["error"] == "invalid_request"


PUSHED = {
    "uri": ({"redirect_uri": "https://evil.example"}, "invalid_request"),
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "scope": ({"scope": "user:write"}, "invalid_scope"),
    "nested": ({"request_uri": "urn:x"}, "invalid_request"),
    "zero": ({"state": "\x00"}, "invalid_request"),
}


@pytest.mark.parametrize(("changed", "error"), PUSHED.values(), ids=PUSHED.keys())
async def test_what_would_be_refused_is_refused_at_once(app: App, changed: dict[str, str], error: str) -> None:
    """The client learns of it before any browser is involved."""
    answer = await push(app, **changed)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_second_factor_is_asked_for_on_the_page(tenant: Tenant) -> None:
    """Password, then code, then consent; a wrong code is told and changes nothing."""
    authenticator, app = await owner_with_app(tenant), await register_later(tenant)
    async with browser(app.world) as person:
        page = await person.log_in(await person.open(app.request(VERIFIER)), tenant.email)
        assert 'autocomplete="one-time-code"' in page.text
        wrong = await person.submit(page, code="000000")
        assert wrong.status_code == 401
        page = await person.submit(wrong, code=authenticator.code())
        assert "code" in told(await person.submit(page, decision="allow"))


async def register_later(tenant: Tenant) -> App:
    """Register a client for a tenant whose owner has a second factor already."""
    _, email = await tenant.user("owner")
    return await register(Tenant(tenant.world, tenant.id, tenant.owner, email))


def assertion(app: App, key: Any = KEY, header: dict[str, Any] | None = None, **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": app.id, "sub": app.id, "aud": PUBLIC_URL, "jti": str(uuid4()), "iat": now, "exp": now + 60}
    said = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return jwt.encode(
        {"alg": "ES256", "kid": "one", **(header or {})}, said, key, algorithms=["ES256", "HS256", "none"]
    )


async def assert_(app: App, text: str, **more: str) -> httpx.Response:
    data = {"grant_type": "client_credentials", "client_assertion_type": KIND, "client_assertion": text, **more}
    async with app.world.client() as http:
        return await http.post("/oauth2/token", data=data)


@pytest.fixture
async def signing(tenant: Tenant) -> App:
    """Return a client that authenticates by private_key_jwt."""
    changed = {"grant_types": ["client_credentials"], "redirect_uris": [], "roles": ["viewer"], "scopes": None}
    return await register(tenant, jwks={"keys": [KEY.as_dict(private=False)]}, **changed)


async def test_a_signature_lets_in_once(signing: App) -> None:
    """An assertion works, and not again (S11)."""
    assert signing.secret is None
    text = assertion(signing)
    assert (await assert_(signing, text)).status_code == 200
    assert (await assert_(signing, text)).json()["error"] == "invalid_client"


FOREIGN = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
# numbers are seconds from the moment of the test: the suite is older than some of them by then
BAD: dict[str, dict[str, Any]] = {
    "foreign key": {"key": FOREIGN},
    "audience": {"aud": f"{PUBLIC_URL}/oauth2/token"},
    "two audiences": {"aud": [PUBLIC_URL, "https://other.example"]},
    "issuer": {"iss": "somebody"},
    "no jti": {"jti": None},
    "no exp": {"exp": None},
    "expired": {"exp": -60},
    "long": {"exp": 3600},
    "text exp": {"exp": "9999999999"},
    "early": {"nbf": 600},
    "jku": {"header": {"jku": "https://evil.example"}},
    "jwk": {"header": {"jwk": FOREIGN.as_dict(private=False)}},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD.keys())
async def test_each_bad_assertion_is_no_client(signing: App, changed: dict[str, Any]) -> None:
    """One answer for all, the same as for a wrong secret."""
    moment = int(time.time())
    said: dict[str, Any] = {
        name: moment + value if isinstance(value, int) else value for name, value in changed.items()
    }
    answer = await assert_(signing, assertion(signing, **said))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_public_key_is_no_secret(signing: App) -> None:
    """HMAC with the published key, or no signature at all, proves nothing."""
    public = OctKey.import_key(str(KEY.as_dict(private=False)["x"]))
    for text in (assertion(signing, public, {"alg": "HS256"}), assertion(signing).rpartition(".")[0] + "."):
        assert (await assert_(signing, text)).json()["error"] == "invalid_client"


async def test_one_method_and_the_registered_one(signing: App, app: App) -> None:
    """A signing client has no secret, one with a secret does not sign, and both at once is refused."""
    async with signing.world.client() as http:
        bare = await http.post("/oauth2/token", data={"grant_type": "client_credentials", "client_id": signing.id})
    both = await assert_(signing, assertion(signing), client_secret="cs_x")
    other = await assert_(app, assertion(app))
    assert [answer.json()["error"] for answer in (bare, both, other)] == [
        "invalid_client",
        "invalid_request",
        "invalid_client",
    ]


async def test_a_private_key_is_not_taken(tenant: Tenant) -> None:
    """A key set that holds a private part is refused at registration."""
    weak = RSAKey.generate_key(2048, private=True)
    body = {"name": "x", "roles": [], "jwks": {"keys": [weak.as_dict(private=True)]}}
    async with tenant.caller() as http:
        assert (await http.post("/v1/clients", json=body)).status_code == 422
