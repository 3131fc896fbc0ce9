"""Lost second factors: an administrator removes them, and the person comes back by their mail; nobody else does (S10)."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.auth.mailbox import Mailbox
from tests.auth.test_cli import reachable, run  # noqa: F401 - a fixture
from tests.auth.test_refresh import me, until_refused
from tests.auth.test_second_factor import enrolled
from tests.auth.world import PASSWORD, Tenant, World

SUBJECT = "The second factors of your account were removed"
CHOSEN = "another one, chosen by its owner"


async def with_app(tenant: Tenant, *roles: str) -> tuple[UUID, str, str]:
    """Return a user with an authenticator app: id, address, and a token of theirs."""
    id_, email = await tenant.user(*roles)
    async with tenant.caller(email) as http:
        await enrolled(http)
        return id_, email, http.headers["Authorization"].removeprefix("Bearer ")


async def tried(world: World, email: str, password: str) -> tuple[int, str | None]:
    async with world.client() as http:
        answer = await http.post("/v1/login", json={"email": email, "password": password})
    return answer.status_code, answer.json().get("type", "").removeprefix("urn:regent:problem:")


async def reset(tenant: Tenant, by: str | None, user: UUID) -> httpx.Response:
    async with tenant.caller(by) as http:
        return await http.post(f"/v1/users/{user}/reset-factors")


async def test_an_administrator_resets_and_the_person_returns(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """Logins end within a second, the old password opens nothing, and the mail leads to another one (S10, S39)."""
    admin, by = await tenant.user("admin")
    id_, email, token = await with_app(tenant, "operator")
    assert (await reset(tenant, by, id_)).status_code == 204
    await until_refused(world, token)
    assert await tried(world, email, PASSWORD) == (401, "login-failed")
    mail = await mailbox.newest(email, SUBJECT)
    assert "An administrator of Broker" in mail.plain
    async with world.client() as http:
        answer = await http.post("/v1/password/reset", json={"token": mail.token, "password": CHOSEN})
    assert answer.status_code == 204, answer.text
    assert await tried(world, email, CHOSEN) == (200, "")
    said = [event for event in await world.outbox(tenant.id) if event["type"].startswith("auth.factor.reset")]
    assert [(one["actor"], one["data"]) for one in said] == [(f"user:{admin}", {"user_id": str(id_), "factors": 1})]


async def test_the_tenants_policy_still_holds(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """Where the tenant asks for a second factor, who comes back sets one up before anything else."""
    id_, email, _ = await with_app(tenant, "operator")
    async with tenant.caller() as owner:
        assert (await owner.post(f"/v1/users/{id_}/reset-factors")).status_code == 204
        await owner.put("/v1/tenants/current/policy", json={"second_factor": "required"})
    token = (await mailbox.newest(email, SUBJECT)).token
    async with world.client() as http:
        await http.post("/v1/password/reset", json={"token": token, "password": CHOSEN})
        answer = await http.post("/v1/login", json={"email": email, "password": CHOSEN})
    assert (answer.status_code, answer.json()["methods"]) == (401, [])


async def test_recovery_codes_and_a_login_half_done_go_as_well(tenant: Tenant, world: World) -> None:
    """What was begun with the old password, and what stood in for the factor, opens nothing any more."""
    id_, email = await tenant.user("operator")
    async with tenant.caller(email) as http:
        codes = (await enrolled(http)).codes
    async with world.client() as http:
        begun = await http.post("/v1/login", json={"email": email, "password": PASSWORD})
        assert (await reset(tenant, None, id_)).status_code == 204
        body = {"token": begun.json()["token"], "code": codes[0]}
        assert (await http.post("/v1/login/second-factor", json=body)).status_code == 401


@pytest.mark.parametrize(
    ("roles", "kind"),
    [(("owner",), "forbidden"), (("admin",), "own-factors"), ((), "no-factor")],
    ids=["an owner", "oneself", "without a factor"],
)
async def test_who_is_not_reset(tenant: Tenant, roles: tuple[str, ...], kind: str) -> None:
    """Not an owner by who is none, not oneself (a stolen token would do it), not who has nothing to lose."""
    admin, by = await tenant.user("admin")
    id_ = admin if kind == "own-factors" else (await tenant.user(*roles))[0]
    if kind == "forbidden":
        id_, _, _ = await with_app(tenant, *roles)
    answer = await reset(tenant, by, id_)
    assert answer.status_code in (403, 409)
    assert answer.json()["type"] == f"urn:regent:problem:{kind}"


async def test_a_tenant_decides_for_itself_only(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """Whoever invites somebody into a tenant of their own cannot take the factors from their account (S37)."""
    id_, email, token = await with_app(tenant, "operator")
    attacker = await world.tenant()
    async with attacker.caller() as http:
        await http.post("/v1/invitations", json={"email": email, "roles": ["viewer"]})
    assert (await reset(attacker, None, id_)).status_code == 404
    invited = (await mailbox.newest(email, "You are invited to Broker")).token
    async with world.client() as http:
        joined = await http.post("/v1/invitations/accept", json={"token": invited, "name": "Uwe"})
        assert joined.status_code == 201, joined.text
        for each in (attacker, tenant):
            refused = await reset(each, None, id_)
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:regent:problem:factors-shared")
        kept = await http.get("/v1/me/factors", headers={"Authorization": f"Bearer {token}"})
    assert len(kept.json()["items"]) == 1


async def test_the_operator_resets_whoever_it_is(
    tenant: Tenant,
    reachable: World,  # noqa: F811 - the fixture
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the machine itself there is no tenant to ask; the mail and the event say who did it."""
    id_, email, token = await with_app(tenant, "owner")
    monkeypatch.setenv("REGENT_KEYRING", reachable.runtime.settings.keyring.get_secret_value())
    shown = await run(monkeypatch, capsys, "user", "reset-factors", "--email", email.upper())
    assert str(id_) in shown
    async with asyncio.timeout(30):  # the command has nobody to wake: the service looks by itself every second
        while await me(reachable, token) != 401:  # noqa: ASYNC110 - the state is polled
            await asyncio.sleep(0.05)
    assert "The operator of Regent" in (await mailbox.newest(email, SUBJECT)).plain
    said: list[Any] = [e for e in await reachable.outbox(tenant.id) if e["type"].startswith("auth.factor.reset")]
    assert [one["actor"] for one in said] == ["service:cli"]
