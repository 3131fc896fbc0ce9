"""Identity providers of a tenant: looked at before they are saved, their secret shown to nobody."""

from typing import Any

import httpx
import pytest

from libs.common.outbound import OutboundPolicy
from services.auth.upstream.web import UnreachableError, Web
from tests.auth.idp import Provider, registered, terms
from tests.auth.world import PUBLIC_URL, Tenant


async def add(tenant: Tenant, provider: Provider, by: str | None = None, **changed: Any) -> httpx.Response:
    """Add a provider."""
    async with tenant.caller(by) as http:
        return await http.post("/v1/identity-providers", json=terms(provider, **changed))


def faults(answer: httpx.Response) -> dict[str, str]:
    """Return what an answer says is wrong, by field."""
    assert answer.status_code == 422, answer.text
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


async def test_a_secret_is_never_shown(tenant: Tenant, provider: Provider) -> None:
    """S10: not in the answer, the list, an event; the answer says where the provider has to send browsers back to."""
    answer = await add(tenant, provider)
    assert answer.status_code == 201, answer.text
    id_ = answer.json()["id"]
    assert answer.json()["redirect_uri"] == f"{PUBLIC_URL}/oauth2/upstream/{id_}/callback"
    async with tenant.caller() as http:
        texts = [answer.text, (await http.get("/v1/identity-providers")).text]
        texts.append((await http.get(answer.headers["location"])).text)
    assert provider.secret not in "".join([*texts, str(await tenant.world.outbox(tenant.id))])


async def test_a_provider_is_changed_against_its_revision(tenant: Tenant, provider: Provider) -> None:
    """A change needs the ETag that was read; the issuer is no part of it."""
    id_ = await registered(tenant, provider)
    body = {name: value for name, value in terms(provider, name="Renamed").items() if name != "issuer"}
    async with tenant.caller() as http:
        path = f"/v1/identity-providers/{id_}"
        statuses = [(await http.put(path, json=body)).status_code]
        statuses += [(await http.put(path, json=body, headers={"If-Match": tag})).status_code for tag in ('"2"', '"1"')]
        other = {**body, "issuer": "https://other.example"}
        statuses.append((await http.put(path, json=other, headers={"If-Match": '"2"'})).status_code)
        assert (await http.get(path)).json()["name"] == "Renamed"
    assert statuses == [428, 412, 200, 422]


async def test_a_repeated_request_adds_one(tenant: Tenant, provider: Provider) -> None:
    """The same key answers the same; a second provider of the name is refused."""
    async with tenant.caller() as http:
        headers = {"Idempotency-Key": "once"}
        first, again = [
            await http.post("/v1/identity-providers", json=terms(provider), headers=headers) for _ in range(2)
        ]
    assert (first.json(), again.status_code) == (again.json(), 201)
    assert (await add(tenant, provider)).json()["type"] == "urn:regent:problem:provider-exists"


async def test_who_may_not_write_adds_none(tenant: Tenant, provider: Provider) -> None:
    """A viewer adds none; an administrator does, but gives nobody ownership and leaves no second factor to others."""
    _, viewer = await tenant.user("viewer")
    _, admin = await tenant.user("admin")
    just = {"provisions": True, "domains": ["example.com"]}
    assert (await add(tenant, provider, viewer)).status_code == 403
    assert (await add(tenant, provider, admin, **just, roles=["owner"])).status_code == 403
    assert (await add(tenant, provider, admin, trusts_second_factor=True)).status_code == 403
    assert (await add(tenant, provider, admin, **just, roles=["viewer"])).status_code == 201


UNSOUND: dict[str, tuple[dict[str, Any], str]] = {
    "members without a domain": ({"provisions": True, "roles": ["viewer"]}, "/domains"),
    "members without a role": ({"provisions": True, "domains": ["example.com"]}, "/roles"),
    "no openid": ({"scopes": ["email"]}, "/scopes"),
    "a scope of two": ({"scopes": ["openid", "a b"]}, "/scopes/1"),
    "no domain": ({"domains": ["*.example.com"]}, "/domains/0"),
    "a role of nobody": ({"roles": ["nothing"]}, "/roles/0"),
    "acr for nothing": ({"acr_values": ["gold"]}, "/acr_values"),
}


@pytest.mark.parametrize(("changed", "field"), UNSOUND.values(), ids=UNSOUND.keys())
async def test_terms_make_sense(tenant: Tenant, provider: Provider, changed: dict[str, Any], field: str) -> None:
    """What contradicts itself is refused, and the field named."""
    assert field in faults(await add(tenant, provider, **changed))


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"issuer": "https://evil.example"}, "exactly what stands under `issuer`"),
    "a plain endpoint": ({"token_endpoint": "http://idp.example/token"}, "`token_endpoint` is not https"),
    "no keys": ({"jwks_uri": None}, "`jwks_uri` is missing"),
    "no S256": ({"code_challenge_methods_supported": ["plain"]}, "have it switched on there"),
    "nothing said of PKCE": ({"code_challenge_methods_supported": None}, "have it switched on there"),
    "shared secrets only": ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "signs ID tokens by none of"),
    "no codes": ({"response_types_supported": ["token"]}, "does not give authorization codes"),
    "no secrets": ({"token_endpoint_auth_methods_supported": ["none"]}, "takes client secrets neither"),
}


@pytest.mark.parametrize(("said", "words"), UNFIT.values(), ids=UNFIT.keys())
async def test_a_provider_is_looked_at(tenant: Tenant, provider: Provider, said: dict[str, Any], words: str) -> None:
    """One that cannot be used is not saved; the refusal says what to do."""
    provider.said = said
    assert words in faults(await add(tenant, provider))["/issuer"]


INWARD = [
    "https://127.0.0.1",
    "https://localhost",
    "https://[::1]",
    "https://169.254.169.254/latest",
    "https://10.0.0.1",
    "https://192.168.1.1:8443",
    "https://2130706433",
    "https://0x7f.1",
    "https://[::ffff:127.0.0.1]",
    "http://127.0.0.1:1",
    "http://idp.example",
    "ftp://idp.example",
    "https://user@idp.example",
    "https://idp.example:0x",
]


@pytest.mark.parametrize("issuer", INWARD)
async def test_no_provider_is_inside(tenant: Tenant, provider: Provider, issuer: str) -> None:
    """S9: addresses of this machine, its network or a cloud's metadata are not asked; plain http only as allowed."""
    assert "/issuer" in faults(await add(tenant, provider, issuer=issuer))
    assert provider.seen == []


async def test_a_name_that_leads_inside_is_not_followed() -> None:
    """S9: the address that a name resolves to is judged, and that one is used: no second look finds another."""
    answers = iter([["10.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
    web = Web(OutboundPolicy(), 1, lambda _host, _port: next(answers))
    for _ in range(2):
        with pytest.raises(UnreachableError, match="is refused"):
            await web.get("https://idp.example/.well-known/openid-configuration")
