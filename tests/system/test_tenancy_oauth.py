"""A stranger at the authorization server: what is another tenant's is answered as what is nobody's (S37).

Only few of these requests may fail in an authentication: a network's failures are counted, and the other tests share it.
"""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.system.operations import operations
from tests.system.world import Tenant, World

CALLBACK = "https://client.example/cb"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
REGISTERED = {
    "roles": [],
    "grant_types": ["authorization_code", "refresh_token", DEVICE, "client_credentials"],
    "redirect_uris": [CALLBACK],
    "scopes": ["run:read", "offline_access"],
}
CHALLENGE = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
ASKED = {"redirect_uri": CALLBACK, "response_type": "code", "scope": "run:read", "state": "s", **CHALLENGE}
CHANGING = re.compile(r'value="[^"]*"|nonce-[^"\']+|nonce="[^"]*"|01[0-9a-f]{6}-[0-9a-f]{4}-[0-9a-f-]{22}')
PAGES = [o.filled({"collection": "runs"}) for o in operations() if o.path.startswith("/.well-known")]
PAGES += ["/account/account.js", "/account/join", "/account/reset"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A client of a tenant."""

    tenant: Tenant
    id: str
    secret: str

    @property
    def basic(self) -> tuple[str, str]:
        return self.id, self.secret


@dataclass(frozen=True, slots=True)
class Held:
    """What the owner's side holds: a client, tokens, a device that waits, a pushed request."""

    client: Registered
    access: str
    refresh: str
    device_code: str
    user_code: str
    request_uri: str

    @property
    def private(self) -> set[str]:
        tenant = self.client.tenant
        return {str(tenant.id), tenant.name, tenant.owner[0], self.client.id, self.refresh, self.device_code}


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.url, timeout=60, trust_env=False) as client:
        yield client


async def registered(tenant: Tenant) -> Registered:
    made = await tenant.api.post("/v1/clients", {"name": "app", **REGISTERED})
    return Registered(tenant, made["client_id"], made["client_secret"])


@pytest.fixture(scope="module")
async def held(world: World, http: httpx.AsyncClient) -> Held:
    tenant = await world.tenant("oauth-owner")
    client = await registered(tenant)
    login = await http.post("/v1/login", json=dict(zip(("email", "password"), tenant.owner, strict=True)))
    device = await http.post("/oauth2/device_authorization", data={"scope": "run:read"}, auth=client.basic)
    pushed = await http.post("/oauth2/par", data={**ASKED, "client_id": client.id}, auth=client.basic)
    for answer in (login, device, pushed):
        answer.raise_for_status()
    return Held(
        client,
        login.json()["access_token"],
        login.json()["refresh_token"],
        device.json()["device_code"],
        device.json()["user_code"],
        pushed.json()["request_uri"],
    )


@pytest.fixture(scope="module")
async def stranger(world: World) -> Registered:
    return await registered(await world.tenant("oauth-stranger"))


def told(answer: httpx.Response, *asked: str) -> tuple[int, str, Any]:
    """Return what an answer says, without what was asked and what is new in every answer."""
    text = answer.text
    for word in asked:
        text = text.replace(word, "<asked>")
    headers = {name: answer.headers.get(name) for name in ("www-authenticate", "cache-control", "content-type")}
    return answer.status_code, CHANGING.sub("<new>", text), headers


def invented(text: str) -> str:
    """Return a token of the same tenant and form that nobody has."""
    return text[:-20] + secrets.token_hex(10)


@pytest.mark.parametrize("thing", ["refresh", "device_code", "code"])
async def test_others_grants_are_unknown_ones(
    http: httpx.AsyncClient, held: Held, stranger: Registered, thing: str
) -> None:
    """A refresh token, device code or authorization code of another tenant is refused like one that was made up."""
    forms = {
        "refresh": ("refresh_token", "refresh_token", held.refresh, {}),
        "device_code": (DEVICE, "device_code", held.device_code, {}),
        "code": ("authorization_code", "code", "ac_" + held.device_code[3:], {"code_verifier": "v" * 43}),
    }
    grant, name, theirs, more = forms[thing]
    answers = [
        await http.post("/oauth2/token", data={"grant_type": grant, name: value, **more}, auth=stranger.basic)
        for value in (theirs, invented(theirs))
    ]
    assert answers[0].status_code == 400
    assert told(answers[0], theirs) == told(answers[1], theirs)


@pytest.mark.parametrize("endpoint", ["revoke", "introspect"])
@pytest.mark.parametrize("token", ["access", "refresh"])
async def test_others_tokens_are_neither_seen_nor_ended(
    http: httpx.AsyncClient, held: Held, stranger: Registered, endpoint: str, token: str
) -> None:
    """Answered like a made-up one, and the token works on."""
    theirs = getattr(held, token)
    answers = [
        await http.post(f"/oauth2/{endpoint}", data={"token": value}, auth=stranger.basic)
        for value in (theirs, invented(theirs))
    ]
    assert answers[0].status_code == 200
    assert told(answers[0]) == told(answers[1])
    me = await http.get("/v1/me", headers={"Authorization": f"Bearer {held.access}"})
    assert me.status_code == 200


@pytest.mark.parametrize("endpoint", ["token", "par", "introspect"])
async def test_anothers_client_is_an_unknown_one(http: httpx.AsyncClient, held: Held, endpoint: str) -> None:
    """With a wrong secret another tenant's client is answered like one that does not exist."""
    form = {"grant_type": "client_credentials", "token": "x", **ASKED}
    answers = [
        await http.post(f"/oauth2/{endpoint}", data=form, auth=(client, "cs_wrong"))
        for client in (held.client.id, str(uuid4()))
    ]
    assert answers[0].status_code == 401
    assert told(answers[0], held.client.id) == told(answers[1], held.client.id)


async def test_a_request_that_another_pushed_is_nobodys(
    http: httpx.AsyncClient, held: Held, stranger: Registered
) -> None:
    """Another tenant's pushed request opens nothing for a stranger's client."""
    answers = [
        await http.get("/oauth2/authorize", params={"client_id": stranger.id, "request_uri": uri})
        for uri in (held.request_uri, invented(held.request_uri))
    ]
    assert 400 <= answers[0].status_code < 500
    assert told(answers[0], held.request_uri) == told(answers[1], held.request_uri)
    assert not [text for text in held.private if text in answers[0].text]


async def test_a_waiting_device_is_nobodys_until_somebody_of_its_tenant_comes(
    http: httpx.AsyncClient, held: Held
) -> None:
    """Who is not logged in learns nothing from a user code."""
    answers = [await http.get("/oauth2/device", params={"user_code": code}) for code in (held.user_code, "BCDF-GHJK")]
    assert told(answers[0], held.user_code) == told(answers[1], "BCDF-GHJK")


async def test_userinfo_is_the_callers_own(http: httpx.AsyncClient, held: Held, stranger: Registered) -> None:
    """Neither method tells a stranger's token of anybody else."""
    headers = await stranger.tenant.api._bearer()
    for method in ("GET", "POST"):
        answer = await http.request(method, "/oauth2/userinfo", headers=headers)
        assert not [text for text in held.private if text in answer.text]


@pytest.mark.parametrize("path", PAGES)
async def test_public_pages_are_the_same_for_everybody(
    http: httpx.AsyncClient, held: Held, stranger: Registered, path: str
) -> None:
    """Metadata, keys and forms depend on nobody's token, and name no tenant."""
    bearers = [{}, await stranger.tenant.api._bearer(), {"Authorization": f"Bearer {held.access}"}]
    answers = [await http.get(path, headers=headers) for headers in bearers]
    assert answers[0].status_code == 200
    assert [told(answer) for answer in answers] == [told(answers[0])] * 3
    assert not [text for text in held.private if text in answers[0].text]
