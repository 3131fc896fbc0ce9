"""What happens to second factors is told by mail: whoever has the session may not be the one who owns the account."""

import asyncio

import pytest

from libs.common.context import utc_now
from services.auth import totp
from tests.auth.browsing import browser, register
from tests.auth.mailbox import Mailbox
from tests.auth.test_factors_in_browsers import begun, require, secret_of
from tests.auth.test_passkeys import registered
from tests.auth.test_second_factor import enrolled, first_step, owner_with_app, second_step
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

SUBJECT = "The second factor of your account changed"


async def told(mailbox: Mailbox, tenant: Tenant, what: str) -> str:
    """Return the mail that says it, once it is there."""
    for _ in range(500):
        for mail in mailbox.to(tenant.email):
            if mail.subject == SUBJECT and what in mail.plain:
                return mail.plain
        await asyncio.sleep(0.02)
    raise AssertionError([mail.plain for mail in mailbox.to(tenant.email)])


@pytest.mark.parametrize("kind", ["app", "passkey"])
async def test_a_new_factor_is_told(tenant: Tenant, mailbox: Mailbox, kind: str) -> None:
    """The mail says what, when, and where to choose another password (S10)."""
    if kind == "app":
        await owner_with_app(tenant)
    else:
        await registered(tenant)
    text = await told(mailbox, tenant, "An authenticator app was added" if kind == "app" else "A passkey was added")
    assert f"{PUBLIC_URL}/account/forgot" in text


async def test_a_removed_factor_is_told(tenant: Tenant, mailbox: Mailbox) -> None:
    """So that a thief's removal is noticed."""
    async with tenant.caller() as http:
        app = await enrolled(http)
        await http.post(f"/v1/me/factors/{app.id}/remove", json={"password": PASSWORD})
    await told(mailbox, tenant, "An authenticator app was removed")


async def test_a_used_and_new_recovery_codes_are_told(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """A recovery code opens without the phone."""
    app = await owner_with_app(tenant)
    answer = await second_step(world, await first_step(world, tenant), app.codes[0])
    await told(mailbox, tenant, "A recovery code was used")
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        await http.post("/v1/me/recovery-codes", json={"password": PASSWORD})
    await told(mailbox, tenant, "New recovery codes were made")


async def test_a_factor_that_is_set_up_on_the_way_in_is_told(tenant: Tenant, mailbox: Mailbox) -> None:
    """It takes the password alone, so the owner hears of it."""
    app = await register(tenant)
    await require(tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        await person.submit(page, code=totp.code_at(secret_of(page), totp.step_of(utc_now())))
    await told(mailbox, tenant, "An authenticator app was added")
