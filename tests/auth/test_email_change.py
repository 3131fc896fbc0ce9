"""A person takes another address: the new one is confirmed, the old one told (S2)."""

import asyncio

import httpx

from tests.auth.mailbox import Mailbox
from tests.auth.test_signup import login, post, shown, somebody
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

CONFIRM, CHANGED = "Confirm your new e-mail address", "Your e-mail address was changed"


async def ask(tenant: Tenant, email: str, password: str = PASSWORD) -> httpx.Response:
    async with tenant.caller() as http:
        return await http.post("/v1/email", json={"email": email, "password": password})


async def confirm(world: World, token: str) -> int:
    return (await post(world, "/v1/email/confirm", {"token": token})).status_code


async def test_the_new_address_counts_once_it_is_confirmed(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """The link goes to the new address, the notice to the old one; the login changes with the link, not before."""
    email = somebody()
    assert (await ask(tenant, email)).status_code == 202
    mail = await mailbox.newest(email, CONFIRM)
    assert mail.link.startswith(f"{PUBLIC_URL}/account/email#ec_")
    assert (await login(world, email)).status_code == 401
    assert await confirm(world, mail.token) == 204
    assert (await login(world, email)).status_code == 200
    assert (await login(world, tenant.email)).status_code == 401
    notice = await mailbox.newest(tenant.email, CHANGED)
    assert email not in notice.message.as_string()
    said = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.account.email.v1"]
    assert [event["data"] for event in said] == [{"user_id": str(tenant.owner)}]


async def test_the_password_is_asked_for(tenant: Tenant, mailbox: Mailbox) -> None:
    """A stolen session cannot take the account away."""
    email = somebody()
    answer = await ask(tenant, email, "wrong wrong wrong wrong")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:regent:problem:wrong-password")
    assert mailbox.to(email) == []


async def test_a_taken_address_looks_like_any_other(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S10: whether somebody has the address does not show, and they get no mail."""
    taken, free = (await world.tenant()).email, somebody()
    answers = [await ask(tenant, taken), await ask(tenant, free)]
    assert shown(answers[0]) == shown(answers[1])
    await mailbox.newest(free, CONFIRM)
    assert mailbox.to(taken) == []


async def test_an_address_goes_to_one_of_two(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Two people who want the same address: the newer link counts, and one has it."""
    other, email = await world.tenant(), somebody()
    await ask(tenant, email)
    first = (await mailbox.newest(email, CONFIRM)).token
    await ask(other, email)
    second = (await mailbox.wait(email, 2))[1].token
    statuses = await asyncio.gather(confirm(world, first), confirm(world, second))
    assert sorted(statuses) == [204, 403]


async def test_an_address_that_was_taken_meanwhile_stays_where_it_is(
    world: World, tenant: Tenant, mailbox: Mailbox
) -> None:
    """A link from before does not take an address from who has it by now."""
    email = somebody()
    await ask(tenant, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    await (await world.tenant()).join(email)
    assert await confirm(world, token) == 403
    assert (await login(world, tenant.email)).status_code == 200


async def test_a_reset_link_to_the_old_address_dies(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Who can read the old mailbox cannot take the account back."""
    await post(world, "/v1/password/forgot", {"email": tenant.email})
    reset = (await mailbox.newest(tenant.email, "Choose another password")).token
    email = somebody()
    await ask(tenant, email)
    assert await confirm(world, (await mailbox.newest(email, CONFIRM)).token) == 204
    body = {"token": reset, "password": f"{PASSWORD} again"}
    assert (await post(world, "/v1/password/reset", body)).status_code == 403


async def test_a_link_works_once(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: of five uses at once one counts."""
    email = somebody()
    await ask(tenant, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    assert sorted(await asyncio.gather(*(confirm(world, token) for _ in range(5)))) == [204, 403, 403, 403, 403]
