"""Second factors on the pages that people see: passkeys beside codes, and setting one up before anything is opened."""

import base64
import json
import re
from html import unescape
from typing import Any

import httpx
import pytest

from libs.common.context import utc_now
from services.auth import totp
from tests.auth.browsing import App, Browser, Forms, browser, register, told
from tests.auth.test_passkeys import Authenticator, finished, registered
from tests.auth.test_passkeys import begun as asked_to_register
from tests.auth.test_second_factor import enrolled, owner_with_app
from tests.auth.world import Tenant

VERIFIER = "v" * 50
ENROL = "Set up a second factor"


def options_of(page: httpx.Response) -> dict[str, Any]:
    """Return what a page asks of a passkey."""
    found = re.search(r'data-options="([^"]+)"', page.text)
    assert found, page.text
    asked: dict[str, Any] = json.loads(unescape(found[1]))
    return asked


async def require(tenant: Tenant) -> None:
    """Let the tenant ask for a second factor."""
    async with tenant.caller() as http:
        assert (await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})).status_code == 200


async def begun(person: Browser, app: App) -> httpx.Response:
    """Go as far as the password leads."""
    return await person.log_in(await person.open(app.request(VERIFIER)), app.tenant.email)


async def answered(person: Browser, page: httpx.Response, credential: dict[str, Any]) -> httpx.Response:
    """Send the form of a passkey as the script does."""
    return await person.submit(page, passkey_form(page), credential=json.dumps(credential))


def passkey_form(page: httpx.Response) -> int:
    """Return which of a page's forms is the passkey's."""
    return next(number for number, form in enumerate(Forms(page.text).found) if "credential" in form.fields)


async def test_a_passkey_opens_in_a_browser(app: App) -> None:
    """Beside the code there is a form for a passkey's signature, and it leads to the consent page (S10)."""
    key = await registered(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        assert [form.action for form in Forms(page.text).found] == ["/oauth2/second-factor"] * 2
        consent = await answered(person, page, key.sign(options_of(page)))
        assert "code" in told(await person.submit(consent, decision="allow"))


async def test_codes_stay_the_first_form_beside_an_app(app: App) -> None:
    """With an app the code's form comes first, with a passkey alone the passkey's."""
    async with app.tenant.caller() as http:
        await enrolled(http)
        asked = await asked_to_register(http)
        assert (await finished(http, asked["token"], Authenticator().make(asked["options"]))).status_code == 201
    async with browser(app.world) as person:
        assert passkey_form(await begun(person, app)) == 1
    other = await register(await app.world.tenant())
    await registered(other.tenant)
    async with browser(app.world) as person:
        assert passkey_form(await begun(person, other)) == 0


async def test_the_page_of_a_passkey_runs_our_script_alone(app: App) -> None:
    """Its script is a file of this origin; nothing inline runs, and without it the form for codes works."""
    await registered(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        script = await person.http.get("/account/passkeys.js")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert script.headers["content-type"].startswith("text/javascript")
    assert "<div data-scripted hidden>" in page.text


async def test_without_a_passkey_no_script_is_named(app: App) -> None:
    """Who has an app alone sees a page without scripts."""
    await owner_with_app(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
    assert "<script" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]


@pytest.mark.parametrize("credential", ["{", "[]", "1", '{"rawId": [1]}', '{"response": {}}'])
async def test_what_is_no_signature_is_refused(app: App, credential: str) -> None:
    """Nonsense in the passkey's field shows the page again, with words, and another chance."""
    key = await registered(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        refused = await person.submit(page, passkey_form(page), credential=credential)
        assert (refused.status_code, 'role="alert"' in refused.text) == (401, True)
        assert "Allow Ledger" in (await answered(person, refused, key.sign(options_of(refused)))).text


async def test_a_used_step_leads_back_to_the_password(app: App) -> None:
    """A pending login that is gone shows the first step again."""
    await owner_with_app(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        gone = await person.submit(page, pending="lg_invented", code="123456")
    assert (gone.status_code, 'name="password"' in gone.text) == (401, True)


async def test_an_app_is_set_up_before_anything_is_opened(app: App) -> None:
    """Where the tenant asks for a factor and there is none, its first code opens; the codes are shown once (S10)."""
    await require(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        assert ENROL in page.text
        assert "__Host-regent_session" not in person.http.cookies
        wrong = await person.submit(page, code="000000")
        assert (wrong.status_code, secret_of(wrong)) == (401, secret_of(page))
        code = totp.code_at(secret_of(page), totp.step_of(utc_now()))
        shown = await person.submit(wrong, code=code)
        assert len(re.findall(r"<li>\w{5}-\w{5}</li>", shown.text)) == 10
        assert "code" in told(await person.submit(await person.submit(shown), decision="allow"))


async def test_who_saw_a_key_before_does_not_know_the_next_one(app: App) -> None:
    """Somebody with the password who looked at the page earlier, or looks again later, sees another key."""
    await require(app.tenant)
    async with browser(app.world) as stranger, browser(app.world) as owner:
        seen = await begun(stranger, app)
        shown = await begun(owner, app)
        assert secret_of(shown) != secret_of(seen)
        again = await stranger.submit(seen, code="000000")
        assert secret_of(again) not in (secret_of(shown), secret_of(seen))


async def test_a_passkey_is_set_up_before_anything_is_opened(app: App) -> None:
    """The same by a passkey: with the script no code has to be typed."""
    await require(app.tenant)
    key = Authenticator()
    async with browser(app.world) as person:
        page = await begun(person, app)
        shown = await answered(person, page, key.make(options_of(page)))
        assert "Your recovery codes" in shown.text
        assert "code" in told(await person.submit(await person.submit(shown), decision="allow"))
        page = await person.log_in(await person.open(app.request(VERIFIER, prompt="login")), app.tenant.email)
        assert "Allow Ledger" in (await answered(person, page, key.sign(options_of(page)))).text


async def test_whoever_has_a_factor_cannot_set_up_another_on_the_way_in(app: App) -> None:
    """A pending login lets nobody add a passkey where there is a factor: that takes the factor."""
    await owner_with_app(app.tenant)
    async with browser(app.world) as person:
        page = await begun(person, app)
        passkeys = app.world.runtime.extras["auth"].passkeys
        token, options = passkeys.ask_to_register(app.tenant.owner, app.tenant.email, [], utc_now())
        made = json.dumps(Authenticator().make(options))
        refused = await person.submit(page, credential=made, registration=token)
    assert refused.status_code == 401


async def test_a_session_without_a_factor_ends_with_the_policy(app: App) -> None:
    """Who is logged in by password alone logs in again, and sets a factor up, once the owner asks for it."""
    async with browser(app.world) as person:
        await begun(person, app)
        await require(app.tenant)
        assert told(await person.open(app.request(VERIFIER, prompt="none")))["error"] == "login_required"
        assert ENROL in (await begun(person, app)).text


def secret_of(page: httpx.Response) -> bytes:
    """Return the key that a page shows for an app."""
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
    assert found
    return base64.b32decode(found[1].replace(" ", ""))
