"""The token endpoint as RFC 6749 describes it, and what it must not do."""

import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jws

from libs.common.context import utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(world: World, body: str, **headers: str) -> httpx.Response:
    async with world.client() as http:
        return await http.post("/oauth2/token", content=body, headers={**FORM, **headers})


def basic(client_id: object, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


async def test_a_token_says_exactly_what_it_must(tenant: Tenant, world: World) -> None:
    """Header and claims are those of RFC 9068, with tenant and grant (S11)."""
    id_, secret = await tenant.oauth_client("viewer")
    answer = (await world.token_for(id_, secret, scope="run:read")).json()
    token = jws.extract_compact(answer["access_token"].encode())
    claims: dict[str, Any] = json.loads(token.payload)
    assert set(token.headers()) == {"alg", "kid", "typ"}
    assert (token.headers()["alg"], token.headers()["typ"]) == ("ES256", "at+jwt")
    assert (claims["iss"], claims["aud"], claims["sub"]) == (PUBLIC_URL, "regent", f"client:{id_}")
    assert (claims["tenant_id"], claims["scope"]) == (str(tenant.id), "run:read")
    assert claims["exp"] - claims["iat"] == 300 == answer["expires_in"]


async def test_both_ways_to_authenticate_work(tenant: Tenant, world: World) -> None:
    """client_secret_basic and client_secret_post (RFC 6749, 2.3.1)."""
    id_, secret = await tenant.oauth_client("viewer")
    one = await post(world, "grant_type=client_credentials", Authorization=basic(id_, secret))
    two = await post(world, f"grant_type=client_credentials&client_id={id_}&client_secret={secret}")
    assert (one.status_code, two.status_code) == (200, 200)


async def test_unknown_clients_and_wrong_secrets_look_the_same(tenant: Tenant, world: World) -> None:
    """No oracle for client ids."""
    id_, _ = await tenant.oauth_client("viewer")
    answers = [await world.token_for(client, "cs_wrong") for client in (id_, uuid4())]
    answers.append(await post(world, "grant_type=client_credentials", Authorization=basic("no-id", "x")))
    assert len({(answer.status_code, answer.text, answer.headers.get("www-authenticate")) for answer in answers}) == 1
    assert (answers[0].status_code, answers[0].json()["error"]) == (401, "invalid_client")


REFUSED = {
    "no grant type": ("client_id={id}&client_secret={secret}", "invalid_request"),
    "empty grant type": ("grant_type=&client_id={id}&client_secret={secret}", "invalid_request"),
    "password": ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
    "code": ("grant_type=authorization_code&code=x", "invalid_client"),
    "repeated": ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
    "repeated scope": (
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=a&scope=b",
        "invalid_request",
    ),
    "wider scope": (
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=user:write",
        "invalid_scope",
    ),
    "wildcard scope": (
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=run:*",
        "invalid_scope",
    ),
    "no client": ("grant_type=client_credentials", "invalid_client"),
    "no secret": ("grant_type=client_credentials&client_id={id}", "invalid_client"),
    "no refresh token": ("grant_type=refresh_token", "invalid_request"),
    "client refreshes": (
        "grant_type=refresh_token&refresh_token=x&client_id={id}&client_secret={secret}",
        "unauthorized_client",
    ),
    "not utf-8": ("grant_type=%ff", "invalid_request"),
    "too many": ("&".join(f"a{n}=1" for n in range(40)), "invalid_request"),
}


@pytest.mark.parametrize(("body", "error"), REFUSED.values(), ids=REFUSED.keys())
async def test_each_wrong_request_is_refused_in_its_words(tenant: Tenant, world: World, body: str, error: str) -> None:
    """Errors are those of RFC 6749, 5.2, and never to be cached."""
    id_, secret = await tenant.oauth_client("viewer")
    answer = await post(world, body.format(id=id_, secret=secret))
    assert answer.json()["error"] == error, answer.text
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.headers["cache-control"] == "no-store"


async def test_two_credentials_at_once_are_refused(tenant: Tenant, world: World) -> None:
    """One method only; none in the URL; a form and nothing else."""
    id_, secret = await tenant.oauth_client("viewer")
    good, header = "grant_type=client_credentials", basic(id_, secret)
    async with world.client() as http:
        answers = [
            await post(world, f"{good}&client_id={id_}&client_secret={secret}", Authorization=header),
            await post(world, f"{good}&client_id={uuid4()}", Authorization=header),
            await http.post(f"/oauth2/token?client_id={id_}&client_secret={secret}", content=good, headers=FORM),
            await http.post("/oauth2/token", json={"grant_type": "client_credentials"}),
        ]
    assert [answer.json()["error"] for answer in answers] == ["invalid_request"] * 4


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x"])
async def test_broken_headers_are_no_client(world: World, header: str) -> None:
    """A header that cannot be read is a failed authentication with its challenge."""
    answer = await post(world, "grant_type=client_credentials", Authorization=header)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_failed_authentications_are_events_and_stop_after_a_hundred(tenant: Tenant, world: World) -> None:
    """Guessing from one address is announced, then 429 (S10)."""
    id_, _ = await tenant.oauth_client("viewer")
    body = f"grant_type=client_credentials&client_id={id_}&client_secret=cs_wrong"
    async with world.client("198.51.100.77") as http:
        statuses = [(await http.post("/oauth2/token", content=body, headers=FORM)).status_code for _ in range(101)]
        person = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
    assert statuses == [401] * 100 + [429]
    assert person.status_code == 200, "people at the same address are let in"
    said = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.session.failed.v1"]
    assert len(said) >= 100
    assert {event["data"]["reason"] for event in said} == {"wrong-secret"}


async def test_metadata_names_what_there_is(world: World) -> None:
    """RFC 8414: issuer, endpoints and methods as they are."""
    async with world.client() as http:
        shown = (await http.get("/.well-known/oauth-authorization-server")).json()
        same = (await http.get("/.well-known/openid-configuration")).json()
        keys = await http.get("/.well-known/jwks.json")
    assert shown["issuer"] == PUBLIC_URL == same["issuer"]
    assert shown["token_endpoint"] == f"{PUBLIC_URL}/oauth2/token"
    assert {"authorization_code", "client_credentials", "refresh_token"} <= set(shown["grant_types_supported"])
    assert (shown["response_types_supported"], shown["code_challenge_methods_supported"]) == (["code"], ["S256"])
    assert shown["jwks_uri"].endswith("/.well-known/jwks.json")
    assert keys.headers["cache-control"] == "public, max-age=300"


async def test_a_client_of_the_platform_makes_tenants(world: World) -> None:
    """`platform:tenants` belongs to the system tenant and is enough for POST /v1/tenants."""
    id_, secret = await operator.create_client(
        world.runtime.database, utc_now(), SYSTEM_TENANT, "platform", ["platform_operator"]
    )
    token = (await world.token_for(id_, secret)).json()
    assert token["scope"] == "platform:keys platform:tenants"
    owner = {"email": f"{uuid4().hex}@example.com", "name": "Ida", "password": "a long enough password"}
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {token['access_token']}"
        made = await http.post("/v1/tenants", json={"name": "Another", "owner": owner})
        login = await http.post("/v1/login", json={"email": owner["email"], "password": owner["password"]})
    assert made.status_code == 201, made.text
    assert login.json()["tenant_id"] == made.json()["id"]
