"""An address's true owner always wins: nobody chooses somebody else's password, and what was prepared ends (S2, S23)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.auth.mailbox import Mailbox
from tests.auth.test_invitations import accept, invite
from tests.auth.test_people import person
from tests.auth.test_refresh import until_refused
from tests.auth.test_reset import reset
from tests.auth.test_second_factor import enrolled
from tests.auth.test_signup import login, somebody
from tests.auth.world import PASSWORD, Tenant, World

CHOSEN = "what the owner of the address chose"


async def added(tenant: Tenant, email: str, **more: Any) -> httpx.Response:
    async with tenant.caller() as http:
        return await http.post("/v1/users", json={**person("viewer"), "email": email, **more})


async def test_who_is_added_chooses_the_password(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """An administrator names address, name and roles; the person comes by the mail, and may say how they are called."""
    email = somebody()
    answer = await added(tenant, email)
    assert (answer.status_code, answer.json()["state"]) == (202, "open"), answer.text
    assert answer.headers["location"] == f"/v1/invitations/{answer.json()['id']}"
    token = (await mailbox.newest(email, "You are invited to Broker")).token
    joined = await accept(world, token, name=None)
    assert joined.status_code == 201, joined.text
    async with tenant.caller(email) as http:
        me = (await http.get("/v1/me")).json()
    assert (me["name"], me["roles"]) == ("Nora New", ["viewer"])


async def test_a_password_by_others_is_refused(tenant: Tenant, mailbox: Mailbox) -> None:
    """With a reason, and before anything is done."""
    email = somebody()
    answer = await added(tenant, email, password=PASSWORD)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:regent:problem:password-by-others")
    assert answer.json()["errors"] == [{"field": "/password", "message": "leave it out"}]
    async with tenant.caller() as http:
        assert (await http.get("/v1/invitations")).json()["items"] == []
    assert mailbox.to(email) == []


async def test_adding_somebody_does_not_tell_who_has_an_account(tenant: Tenant, world: World) -> None:
    """An address of another tenant's owner is answered like one of nobody, and is no member before they agree (S37)."""
    other = await world.tenant()
    answers = [await added(tenant, email) for email in (other.email, somebody())]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json().keys() == answers[1].json().keys()
    async with other.world.client() as http:
        tokens = await http.post("/v1/login", json={"email": other.email, "password": PASSWORD})
    assert tokens.status_code == 200, tokens.text  # and no tenant is to be chosen


@dataclass(slots=True)
class Prepared:
    """An account that somebody made for another's address, with a factor of theirs and a login that goes on."""

    email: str
    id: UUID
    token: str
    codes: list[str]


@pytest.fixture
async def prepared(world: World) -> Prepared:
    attacker = await world.tenant()
    id_, email = await attacker.user("viewer")
    await world.prove(email, proven=False)
    async with attacker.caller(email) as http:
        codes = (await enrolled(http)).codes
        return Prepared(email, id_, http.headers["Authorization"].removeprefix("Bearer "), codes)


async def invitation(tenant: Tenant, mailbox: Mailbox, email: str) -> str:
    assert (await invite(tenant, email)).status_code == 201
    return (await mailbox.newest(email, "You are invited to Broker")).token


async def reset_token(world: World, mailbox: Mailbox, email: str) -> str:
    async with world.client() as http:
        assert (await http.post("/v1/password/forgot", json={"email": email})).status_code == 202
    return (await mailbox.newest(email, "Choose another password")).token


async def by_invitation(world: World, mailbox: Mailbox, tenant: Tenant, email: str) -> None:
    token = await invitation(tenant, mailbox, email)
    assert (await accept(world, token, password=None)).status_code == 422
    answer = await accept(world, token, password=CHOSEN)
    assert answer.status_code == 201, answer.text


async def by_reset(world: World, mailbox: Mailbox, tenant: Tenant, email: str) -> None:
    assert (await reset(world, await reset_token(world, mailbox, email), CHOSEN)).status_code == 204
    await tenant.join(email, "viewer")


Way = Callable[[World, Mailbox, Tenant, str], Awaitable[None]]


@pytest.mark.parametrize("way", [by_invitation, by_reset])
async def test_what_was_prepared_ends(
    prepared: Prepared, tenant: Tenant, world: World, mailbox: Mailbox, way: Way
) -> None:
    """Whoever reads the mail has the account: the other's password, factor, codes and login are worth nothing."""
    await way(world, mailbox, tenant, prepared.email)
    await until_refused(world, prepared.token)
    assert (await login(world, prepared.email)).status_code == 401
    body = {"email": prepared.email, "password": CHOSEN, "tenant": str(tenant.id)}
    async with world.client() as http:
        answer = await http.post("/v1/login", json=body)
        assert answer.status_code == 200, answer.text  # and no factor of somebody else's is asked for
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await http.get("/v1/me/factors", headers=headers)).json()["items"] == []


async def test_whose_address_is_proven_keeps_all(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """An invitation changes nothing of an account that is its address's owner's; nor does a reset take the factor."""
    _, email = await (await world.tenant()).user("viewer")
    async with world.client() as http:
        answer = await http.post("/v1/login", json={"email": email, "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        await enrolled(http)
        assert (await accept(world, await invitation(tenant, mailbox, email), password=CHOSEN)).status_code == 201
        assert (await http.get("/v1/me")).status_code == 200
    for password in (PASSWORD, CHOSEN):
        if password == CHOSEN:
            assert (await reset(world, await reset_token(world, mailbox, email), CHOSEN)).status_code == 204
        async with world.client() as http:
            body = {"email": email, "password": password, "tenant": str(tenant.id)}
            asked_for = (await http.post("/v1/login", json=body)).json()["type"]
        assert asked_for == "urn:regent:problem:second-factor-required"
