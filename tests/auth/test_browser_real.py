"""The pages in a real browser: what people do with them, by mouse and keyboard, with a passkey, and how they look."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import uvicorn

from deploy.local.supervisor import Supervisor
from libs.common.context import utc_now
from services.auth import operator, totp
from tests.auth.browsing import App, register
from tests.auth.chromium import Chromium, Tab, chromium, executable
from tests.auth.test_second_factor import owner_with_app
from tests.auth.world import PASSWORD, Fresh, Tenant, World, hosted
from tests.conftest import start_nats

CHROMIUM = executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found (Debian: apt-get install chromium)")
VERIFIER = "v" * 50
_CHECKS = (Path(__file__).with_name("accessible.js")).read_text(encoding="utf-8")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the test run's signals alone."""
        yield


@dataclass(frozen=True, slots=True)
class Site:
    """A service that a browser can reach, and the browser."""

    world: World
    url: str
    chromium: Chromium

    async def app(self, tenant: Tenant) -> App:
        """Register a client whose people come back to a page that is there."""
        return await register(tenant, redirect_uris=[self.back])

    @property
    def back(self) -> str:
        """Where answers go."""
        return f"{self.url.replace('localhost', '127.0.0.1')}/healthz"

    def ask(self, app: App) -> str:
        """Return the address to which a client sends people."""
        return f"{self.url}/oauth2/authorize?{urlencode(app.request(VERIFIER, redirect_uri=self.back))}"


@pytest.fixture(scope="module")
async def site(
    fresh_for_browsers: Fresh, supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Yield a service on a port of this machine, and a browser."""
    bus = await start_nats(supervisor, tmp_path_factory, "nats-browser")
    folder = tmp_path_factory.mktemp("browser")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        async with hosted(fresh_for_browsers.urls, bus, folder, public_url=url) as world:
            config = uvicorn.Config(world.app, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
            server = _Server(config)
            serving = asyncio.create_task(server.serve([listening]))
            async with chromium(str(CHROMIUM), folder / "profile") as browser:
                yield Site(world, url, browser)
            server.should_exit = True
            await serving


@pytest.fixture
async def tenant(site: Site) -> Tenant:
    """Return a fresh tenant with its owner."""
    return await site.world.tenant()


@pytest.fixture
async def tab(site: Site) -> AsyncIterator[Tab]:
    """Yield a tab; whatever the browser complains of fails the test."""
    async with site.chromium.tab() as opened:
        await opened.looks()
        yield opened
        assert opened.complaints == []


async def log_in(tab: Tab, email: str, password: str = PASSWORD) -> None:
    """Fill the login form in and send it by the keyboard."""
    await tab.until("document.querySelector('#password')")
    await tab.value("document.querySelector('#email').value = ''")
    await tab.fill("#email", email)
    await tab.fill("#password", password)
    await tab.press("Enter", 13)


async def unfolded(tab: Tab, action: str) -> None:
    """Open a folded form of one's own account, and send it with the password."""
    form = f"form[action='{action}']"
    await tab.click(f"details:has({form}) > summary")
    await tab.fill(f"{form} input[type=password]", PASSWORD)
    await tab.click(f"{form} button")


async def faults(tab: Tab) -> list[str]:
    """Return what keeps somebody from using the page, in the light and in the dark, on a large and a small screen."""
    found: list[str] = []
    for dark, width in ((False, 1100), (True, 1100), (False, 320)):
        await tab.looks(dark=dark, width=width)
        found += [f"{'dark' if dark else 'light'} {width}: {fault}" for fault in await tab.value(_CHECKS)]
    await tab.looks()
    return found


async def focused(tab: Tab) -> list[str]:
    """Return what the tabulator leads to, in order."""
    await tab.value("document.activeElement.blur()")
    names: list[str] = []
    for _ in range(12):
        await tab.press("Tab", 9)
        at = await tab.value("(document.activeElement || {}).name || (document.activeElement || {}).textContent || ''")
        if at in names or not at:
            break
        names.append(at)
    return names


async def test_a_person_logs_in_and_allows(site: Site, tenant: Tenant, tab: Tab) -> None:
    """By keyboard alone from the client's request to the answer; the order of the fields is that of the eye."""
    app = await site.app(tenant)
    await tab.open(site.ask(app))
    assert (await focused(tab))[:3] == ["email", "password", "Log in"]
    assert await faults(tab) == []
    await tab.keep("login")
    await log_in(tab, tenant.email)
    await tab.arrives("Allow Ledger <b>?")
    assert await faults(tab) == []
    await tab.keep("consent")
    await tab.click("button[value=allow]")
    await tab.until("location.pathname === '/healthz'")
    answer = parse_qs(urlsplit(await tab.value("location.href")).query)
    assert (answer["state"], answer["iss"]) == (["s&=1"], [site.url])
    given = await app.redeem(answer["code"][0], VERIFIER, redirect_uri=site.back)
    assert given.status_code == 200


async def test_a_passkey_is_made_and_opens(site: Site, tenant: Tenant, tab: Tab) -> None:
    """Made on the account page by the browser's own authenticator, used at the next login of a client (S10)."""
    app = await site.app(tenant)
    await tab.passkeys()
    await tab.open(f"{site.url}/account")
    await log_in(tab, tenant.email)
    await tab.arrives("Hello, Olga Owner")
    await unfolded(tab, "/account/passkey")
    await tab.arrives("Add a passkey")
    assert await faults(tab) == []
    await tab.click("form[data-passkey] button")
    await tab.arrives("Your recovery codes")
    assert await faults(tab) == []
    await tab.keep("codes")
    await tab.click("a.button")
    await tab.shows("You have 10 left")
    await tab.click("button[value=here]")
    await tab.arrives("You are logged out")
    await tab.open(site.ask(app))
    await log_in(tab, tenant.email)
    await tab.shows("Use your passkey")
    assert await faults(tab) == []
    await tab.keep("factor")
    await tab.click("form[data-passkey] button")
    await tab.arrives("Allow Ledger <b>?")


async def test_an_app_is_set_up_and_asked_for(site: Site, tenant: Tenant, tab: Tab) -> None:
    """The key on the page makes codes that are taken; the page of one's account can be used by everybody."""
    await tab.open(f"{site.url}/account")
    await log_in(tab, tenant.email)
    await tab.arrives("Hello, Olga Owner")
    await unfolded(tab, "/account/app")
    await tab.arrives("Add an authenticator app")
    assert await faults(tab) == []
    await tab.keep("app")
    await tab.fill("#code", await code_on(tab))
    await tab.press("Enter", 13)
    await tab.arrives("Your recovery codes")
    await tab.click("a.button")
    await tab.shows("Authenticator app")
    await tab.value("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert await faults(tab) == []
    await tab.keep("account")
    await tab.looks(dark=True)
    await tab.keep("account-dark")


async def test_codes_work_without_scripts(site: Site, tenant: Tenant, tab: Tab) -> None:
    """Who lets no script run sees no passkeys, and logs in with a code."""
    phone = await owner_with_app(tenant)
    await tab.do("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(f"{site.url}/account")
    await log_in(tab, tenant.email)
    await tab.arrives("Second factor")
    await tab.fill("#code", phone.code())
    await tab.press("Enter", 13)
    await tab.arrives("Hello, Olga Owner")
    assert "Add a passkey" not in await tab.text()


async def test_a_required_factor_is_set_up_on_the_way_in(site: Site, tenant: Tenant, tab: Tab) -> None:
    """The login leads to the enrolment page, whose passkey opens."""
    async with tenant.caller() as http:
        await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
    await tab.passkeys()
    await tab.open(f"{site.url}/account")
    await log_in(tab, tenant.email)
    await tab.arrives("Set up a second factor")
    assert await faults(tab) == []
    await tab.keep("enrolment")
    await tab.click("form[data-passkey] button")
    await tab.arrives("Your recovery codes")
    await tab.click("a.button")
    await tab.shows("Passkey")


async def test_the_challenge_is_solved_by_the_pages_script(site: Site, tenant: Tenant, tab: Tab) -> None:
    """After three failures the browser works for a moment, and the right password is heard (S10)."""
    await tab.open(f"{site.url}/account")
    for _ in range(3):
        await log_in(tab, tenant.email, "wrong password wrong")
        await tab.shows("is wrong")
        await tab.value("document.querySelector('[role=alert]').remove()")
    await tab.until("document.querySelector('input[name=challenge]').value")
    assert await faults(tab) == []
    await log_in(tab, tenant.email)
    await tab.arrives("Hello, Olga Owner")


async def test_the_set_up_link_makes_the_first_organisation(site: Site, tab: Tab) -> None:
    """The page reads the link's token, takes it out of the address, and its owner can log in (S1)."""
    link = await operator.create_setup_link(site.world.runtime.database, utc_now(), site.url)
    await tab.open(link)
    assert await tab.value("location.hash") == ""
    assert await faults(tab) == []
    await tab.keep("setup")
    for name, text in (("tenant_name", "First Bank"), ("name", "Ann"), ("email", "ann@example.com")):
        await tab.fill(f"#{name}", text)
    await tab.fill("#password", "short")
    await tab.press("Enter", 13)
    await tab.shows("must have 15")
    await tab.fill("#password", PASSWORD)
    await tab.press("Enter", 13)
    await tab.shows("Regent is ready")
    await tab.click("#next a")
    await tab.until("location.pathname !== '/setup'")  # this page has fields of the same names
    await log_in(tab, "ann@example.com", "short" + PASSWORD)
    await tab.arrives("Hello, Ann")


async def code_on(tab: Tab) -> str:
    """Return the code of the app whose key the page shows."""
    spelled = str(await tab.value("document.querySelector('code').textContent")).replace(" ", "")
    return totp.code_at(base64.b32decode(spelled), totp.step_of(utc_now()))
