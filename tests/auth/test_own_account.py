"""One's own account in a browser: factors, codes, password, logins; and what no other page may send."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from libs.common.context import utc_now
from services.auth import totp
from tests.auth.browsing import Browser, Forms, browser
from tests.auth.mailbox import Mailbox
from tests.auth.test_factors_in_browsers import options_of, passkey_form, require, secret_of
from tests.auth.test_passkeys import Authenticator
from tests.auth.test_second_factor import owner_with_app
from tests.auth.world import PASSWORD, Tenant, World

LONGER = "seventeen violet otters juggle"


async def sent(person: Browser, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
    """Fill in the page's form that goes to `action`."""
    found = [form for form in Forms(page.text).found if form.action == action]
    assert found, (action, page.text)
    return await person.http.post(action, data={**found[0].fields, **fields})


async def entered(person: Browser, tenant: Tenant) -> httpx.Response:
    """Log in at one's own account; returns its page."""
    answer = await person.log_in(await person.http.get("/account"), tenant.email)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    return await person.http.get("/account")


@asynccontextmanager
async def visitor(tenant: Tenant) -> AsyncIterator[tuple[Browser, httpx.Response]]:
    """Yield somebody at their own account, and its page."""
    async with browser(tenant.world) as person:
        yield person, await entered(person, tenant)


async def test_whoever_is_not_logged_in_logs_in_first(tenant: Tenant) -> None:
    """Both pages ask for address and password, and say nothing about anybody."""
    async with browser(tenant.world) as person:
        for path in ("/account", "/account/password"):
            page = await person.http.get(path)
            assert (page.status_code, 'name="password"' in page.text) == (200, True)


async def test_an_app_is_added(tenant: Tenant) -> None:
    """With the password a key is shown, with its code it counts, and recovery codes are shown once (S10)."""
    async with visitor(tenant) as (person, home):
        page = await sent(person, home, "/account/app", password=PASSWORD)
        wrong = await person.submit(page, code="000000")
        assert (wrong.status_code, secret_of(wrong)) == (422, secret_of(page))
        shown = await person.submit(wrong, code=totp.code_at(secret_of(page), totp.step_of(utc_now())))
        assert len(re.findall(r"<li>\w{5}-\w{5}</li>", shown.text)) == 10
        assert "Authenticator app" in (await person.http.get("/account")).text


async def test_a_passkey_is_added_and_used(tenant: Tenant) -> None:
    """What the browser made of the page's options is kept, and opens at the next login."""
    key = Authenticator()
    async with visitor(tenant) as (person, home):
        page = await sent(person, home, "/account/passkey", password=PASSWORD)
        made = json.dumps(key.make(options_of(page)))
        shown = await person.submit(page, credential=made, name=" Ann's <key>\n" + "x" * 70)
        assert "Your recovery codes" in shown.text
        later = await person.http.get("/account")
        assert f"“Ann&#x27;s &lt;key&gt;{'x' * 49}”" in later.text
    async with browser(tenant.world) as person:
        page = await person.log_in(await person.http.get("/account"), tenant.email)
        done = await person.submit(page, passkey_form(page), credential=json.dumps(key.sign(options_of(page))))
        assert (done.status_code, done.headers["location"]) == (303, "/account")


async def test_removing_asks_for_the_password(tenant: Tenant) -> None:
    """A wrong password changes nothing and says so; the right one removes the factor."""
    async with visitor(tenant) as (person, _):
        await owner_with_app(tenant)
        home = await person.http.get("/account")
        wrong = await sent(person, home, "/account/remove", password="not the password of it")
        assert (wrong.status_code, "The password is wrong." in wrong.text) == (403, True)
        done = await sent(person, wrong, "/account/remove", password=PASSWORD)
        assert "You log in with your password alone." in done.text


async def test_recovery_codes_are_replaced(tenant: Tenant) -> None:
    """New ones are shown once, with the password."""
    async with visitor(tenant) as (person, _):
        app = await owner_with_app(tenant)
        page = await sent(person, await person.http.get("/account"), "/account/codes", password=PASSWORD)
        found = re.findall(r"<li>(\w{5}-\w{5})</li>", page.text)
    assert len(found) == 10
    assert not set(found) & set(app.codes)


async def test_the_password_is_changed(tenant: Tenant, mailbox: Mailbox) -> None:
    """The old one is asked for, this login stays, the others end, and a mail tells the owner (S10)."""
    async with visitor(tenant) as (person, _), visitor(tenant) as (elsewhere, _):
        page = await person.http.get("/account/password")
        refused = await person.submit(page, password="not the password of it", new=LONGER)
        assert (refused.status_code, 'role="alert"' in refused.text) == (403, True)
        done = await person.submit(refused, password=PASSWORD, new=LONGER)
        assert "The password is changed" in done.text
        assert "Hello, " in (await person.http.get("/account")).text
        assert "Hello, " not in (await elsewhere.http.get("/account")).text
    assert "access_token" in await tenant.login(password=LONGER)
    assert await mailbox.newest(tenant.email, "Your password was changed")


async def test_a_refused_password_is_explained(tenant: Tenant) -> None:
    """What is wrong of it is said in words."""
    async with visitor(tenant) as (person, _):
        page = await person.submit(await person.http.get("/account/password"), password=PASSWORD, new="short")
    assert "It must have 15 to 1,024 characters." in page.text


async def test_a_login_is_ended_from_elsewhere(tenant: Tenant) -> None:
    """The page lists where somebody is logged in; another login ends at once, this one has no such button."""
    async with visitor(tenant) as (elsewhere, _), visitor(tenant) as (person, home):
        assert "This browser" in home.text
        assert [form.action for form in Forms(home.text).found].count("/account/end") == 1
        done = await sent(person, home, "/account/end")
        assert "The login has ended." in done.text
        assert "Hello, " not in (await elsewhere.http.get("/account")).text


async def test_nobody_ends_anothers_login(tenant: Tenant) -> None:
    """Neither a colleague's nor an invented one."""
    _, email = await tenant.user("viewer")
    theirs = await tenant.login(email)
    async with tenant.caller(email) as http:
        other = (await http.get("/v1/me")).json()["grant_id"]
    async with visitor(tenant) as (person, home):
        form = next(form for form in Forms(home.text).found if form.action == "/account/logout")
        for id_ in (other, "nonsense"):
            refused = await person.http.post("/account/end", data={**form.fields, "id": id_})
            assert (refused.status_code, "There is no such login." in refused.text) == (404, True)
    async with tenant.world.client() as http:
        me = await http.get("/v1/me", headers={"Authorization": f"Bearer {theirs['access_token']}"})
    assert me.status_code == 200


async def test_logging_out_everywhere(tenant: Tenant) -> None:
    """Every browser is out, this one too."""
    async with visitor(tenant) as (person, home), visitor(tenant) as (elsewhere, _):
        await sent(person, home, "/account/logout", where="everywhere")
        for each in (person, elsewhere):
            assert "Hello, " not in (await each.http.get("/account")).text


async def test_the_login_leads_through_enrolment(tenant: Tenant) -> None:
    """Where the tenant asks for a factor, the account opens once there is one; the codes come first."""
    await require(tenant)
    async with browser(tenant.world) as person:
        page = await person.log_in(await person.http.get("/account"), tenant.email)
        shown = await person.submit(page, code=totp.code_at(secret_of(page), totp.step_of(utc_now())))
        assert ('href="/account"' in shown.text, "Your recovery codes" in shown.text) == (True, True)
        assert "Hello, " in (await person.http.get("/account")).text


async def test_another_browsers_form_changes_nothing(tenant: Tenant, world: World) -> None:
    """Neither a form of another session nor one that another site sends is taken."""
    other = await world.tenant()
    async with visitor(tenant) as (person, home), visitor(other) as (attacker, _):
        form = next(form for form in Forms(home.text).found if form.action == "/account/app")
        filled = {**form.fields, "password": PASSWORD}
        assert (await attacker.http.post("/account/app", data=filled)).status_code == 403
        headers = {"Origin": "https://evil.example"}
        assert (await person.http.post("/account/app", data=filled, headers=headers)).status_code == 403
        assert (await person.http.post("/account/app", data={"password": PASSWORD})).status_code == 403


async def test_pages_can_be_used_by_anybody(tenant: Tenant) -> None:
    """Each input that is seen has its label, ids are there once, and no page takes inline scripts or styles."""
    async with visitor(tenant) as (person, _):
        await owner_with_app(tenant)
        pages = [await person.http.get(path) for path in ("/account", "/account/password")]
    for page in pages:
        seen = re.findall(r'<input id="([^"]+)"', page.text)
        assert seen
        assert sorted(seen) == sorted(set(re.findall(r'<label for="([^"]+)"', page.text)))
        assert len(seen) == len(set(seen))
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
