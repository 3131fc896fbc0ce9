"""One's own address is changed in a browser: with the password, by a link to the new one, told to the old one (S2)."""

import httpx

from tests.auth.browsing import Browser, browser
from tests.auth.mailbox import Mailbox
from tests.auth.test_email_change import confirm
from tests.auth.test_own_account import entered, sent, visitor
from tests.auth.test_signup import login, somebody
from tests.auth.world import PASSWORD, Tenant, World

CONFIRM, PLACE = "Confirm your new e-mail address", "/account/address"


async def asked(person: Browser, email: str, password: str = PASSWORD) -> httpx.Response:
    return await sent(person, await person.http.get(PLACE), PLACE, email=email, password=password)


async def test_the_whole_way(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """From the account's page to the login with the new address; the session goes on, and the old address is told."""
    email = somebody()
    async with visitor(tenant) as (person, home):
        assert f'href="{PLACE}"' in home.text
        done = await asked(person, email)
        assert (done.status_code, "a mail is on its way" in done.text) == (200, True)
        assert tenant.email in done.text
        assert await confirm(world, (await mailbox.newest(email, CONFIRM)).token) == 204
        assert email in (await person.http.get("/account")).text
    assert [(await login(world, each)).status_code for each in (email, tenant.email)] == [200, 401]
    assert len(await mailbox.wait(tenant.email)) == 1


async def test_a_wrong_password_changes_nothing(tenant: Tenant, mailbox: Mailbox) -> None:
    """The page says so, keeps what was typed, and no mail is sent."""
    email = somebody()
    async with visitor(tenant) as (person, _):
        page = await asked(person, email, "the password of somebody else")
    assert (page.status_code, "The password is wrong." in page.text) == (403, True)
    assert f'value="{email}"' in page.text
    assert mailbox.to(email) == []


async def test_whose_address_it_is_does_not_show(tenant: Tenant, world: World, mailbox: Mailbox) -> None:
    """An address that somebody has is answered like a free one, and gets no mail; nonsense is named."""
    other = await world.tenant()
    async with visitor(tenant) as (person, _):
        free, taken = [await asked(person, email) for email in (somebody(), other.email)]
        bad = await asked(person, "two words")
    assert (free.status_code, taken.status_code, bad.status_code) == (200, 200, 422)
    assert "a mail is on its way" in taken.text
    assert mailbox.to(other.email) == []


async def test_only_the_page_itself_can_ask(tenant: Tenant) -> None:
    """Without a session there is a login page; with one, a form of another page is refused."""
    async with browser(tenant.world) as person:
        assert 'name="password"' in (await person.http.get(PLACE)).text
        await entered(person, tenant)
        forged = await person.http.post(PLACE, data={"email": somebody(), "password": PASSWORD})
    assert forged.status_code == 403
