"""What is revoked ends in all six services within a second (S11)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import httpx
import pytest

from tests.pace import within
from tests.system.world import Tenant, World

WITHIN_SECONDS = 1.0
READS = {
    "auth": "/v1/me",
    "catalog": "/v1/reports",
    "scheduler": "/v1/schedules",
    "runner": "/v1/runs",
    "validator": "/v1/rules",
    "audit": "/v1/audit/entries",
}
Headers = dict[str, str]
Given = tuple[Headers, Callable[[], Awaitable[object]]]


@pytest.fixture(scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.url, timeout=60, trust_env=False) as client:
        yield client


async def _user(http: httpx.AsyncClient, world: World, tenant: Tenant) -> tuple[UUID, Headers]:
    """Return a new user's id and a token of theirs."""
    id_, email, password = await world.user(tenant, "owner")
    answer = (await http.post("/v1/login", json={"email": email, "password": password})).raise_for_status()
    return id_, {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def a_token(http: httpx.AsyncClient, world: World, tenant: Tenant) -> Given:
    """Give a token, and the revocation of the grant that it stands on."""
    _, headers = await _user(http, world, tenant)
    grant = (await http.get("/v1/me", headers=headers)).json()["grant_id"]
    own = await tenant.api._bearer()
    return headers, lambda: http.post(f"/v1/grants/{grant}/revoke", headers=own)


async def a_session(http: httpx.AsyncClient, world: World, tenant: Tenant) -> Given:
    """Give a session's token, and its logout."""
    _, headers = await _user(http, world, tenant)
    return headers, lambda: http.post("/v1/logout", headers=headers)


async def a_client(http: httpx.AsyncClient, _world: World, tenant: Tenant) -> Given:
    """Give a client's token, and the client's removal."""
    made = await tenant.api.post("/v1/clients", {"name": "leaving", "roles": ["owner"]})
    form, auth = {"grant_type": "client_credentials"}, (made["client_id"], made["client_secret"])
    token = (await http.post("/oauth2/token", data=form, auth=auth)).raise_for_status().json()["access_token"]
    own = await tenant.api._bearer()
    headers = {"Authorization": f"Bearer {token}"}
    return headers, lambda: http.delete(f"/v1/clients/{made['client_id']}", headers=own)


async def a_user(http: httpx.AsyncClient, world: World, tenant: Tenant) -> Given:
    """Give a user's token, and the user's disabling."""
    id_, headers = await _user(http, world, tenant)
    own = await tenant.api._bearer()
    return headers, lambda: http.post(f"/v1/users/{id_}/disable", headers=own)


async def somebody_removed(http: httpx.AsyncClient, world: World, tenant: Tenant) -> Given:
    """Give a client's token, and the removal of whoever answers for the client."""
    id_, headers = await _user(http, world, tenant)
    made = await http.post("/v1/clients", json={"name": "orphan to be", "roles": ["owner"]}, headers=headers)
    secret = made.raise_for_status().json()
    form, auth = {"grant_type": "client_credentials"}, (secret["client_id"], secret["client_secret"])
    token = (await http.post("/oauth2/token", data=form, auth=auth)).raise_for_status().json()["access_token"]
    own = await tenant.api._bearer()
    return {"Authorization": f"Bearer {token}"}, lambda: http.delete(f"/v1/users/{id_}", headers=own)


Kind = Callable[[httpx.AsyncClient, World, Tenant], Awaitable[Given]]


@pytest.mark.parametrize("given", [a_token, a_session, a_client, a_user, somebody_removed])
async def test_it_ends_everywhere_within_a_second(
    http: httpx.AsyncClient, world: World, tenant: Tenant, given: Kind
) -> None:
    """Each service takes the token until then, and refuses it a second after the answer at the latest (S11)."""

    async def ended() -> float:
        headers, revoke = await given(http, world, tenant)
        for service, path in READS.items():
            answer = await http.get(path, headers=headers)
            assert answer.status_code == 200, (service, answer.text)
        answer = await revoke()
        assert isinstance(answer, httpx.Response)
        assert answer.is_success, answer.text
        return await _refused_everywhere(http, headers)

    await within(WITHIN_SECONDS, ended)


async def test_what_the_command_line_revokes_ends_everywhere_within_a_second(
    http: httpx.AsyncClient, world: World
) -> None:
    """An operator suspends a tenant on the machine: all six services refuse its tokens a second later (S11)."""

    async def ended() -> float:
        tenant = await world.tenant("suspended")
        headers = await tenant.api._bearer()
        await world.command("tenant", "suspend", str(tenant.id))
        return await _refused_everywhere(http, headers)

    await within(WITHIN_SECONDS, ended)


async def _refused_everywhere(http: httpx.AsyncClient, headers: Headers) -> float:
    """Return the seconds from now until the last of the six services refuses the token."""
    began = time.monotonic()
    return max(await asyncio.gather(*(_refused(http, path, headers, began) for path in READS.values())))


async def _refused(http: httpx.AsyncClient, path: str, headers: Headers, began: float) -> float:
    """Return the seconds until a service refuses the token for good."""
    while time.monotonic() - began < 60:
        asked = time.monotonic()
        answer = await http.get(path, headers=headers)
        if answer.status_code == 401:
            return asked - began
        assert answer.status_code in (200, 404), answer.text  # a client that is gone is found no more, at once
        await asyncio.sleep(0.03)
    return float("inf")
