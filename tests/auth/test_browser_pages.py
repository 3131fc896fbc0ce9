"""The login and consent pages: what they let nobody do, and that everybody can use them."""

import asyncio
import json
import re
from html import unescape
from urllib.parse import urlencode

import pytest
from altcha import Challenge, Payload, solve_challenge

from tests.auth.browsing import App, Forms, browser, told
from tests.auth.world import PASSWORD, World

VERIFIER = "v" * 50


async def test_pages_are_closed(app: App) -> None:
    """No script, no frame, no cache, no referrer; what a client calls itself is text (S9)."""
    async with browser(app.world) as person:
        login = await person.open(app.request(VERIFIER))
        consent = await person.log_in(login, app.tenant.email)
    for page in (login, consent):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in page.headers
        assert "Ledger &lt;b&gt;" in page.text
        assert "<script" not in page.text
    assert "form-action 'self' https://client.example;" in login.headers["content-security-policy"]


async def test_pages_can_be_used_by_anybody(app: App) -> None:
    """A language, a title, labels for every field, and problems that are read out."""
    async with browser(app.world) as person:
        page = await person.open(app.request(VERIFIER))
        wrong = await person.log_in(page, app.tenant.email, "wrong password wrong")
    for text in ('<html lang="en">', "<title>Log in", '<label for="email">', '<label for="password">', "<h1>"):
        assert text in page.text
    assert 'role="alert"' in wrong.text


async def test_a_session_is_a_host_cookie_and_new_at_each_login(app: App) -> None:
    """Secure, HttpOnly, SameSite, for this host alone; the one from before a login means nothing any more."""
    async with browser(app.world) as person:
        page = await person.open(app.request(VERIFIER, prompt="login"))
        first = await person.log_in(page, app.tenant.email)
        old = person.http.cookies["__Host-regent_session"]
        again = await person.open(app.request(VERIFIER, prompt="login"))
        await person.log_in(again, app.tenant.email)
        assert person.http.cookies["__Host-regent_session"] != old
        person.http.cookies.clear()
        person.http.cookies.set("__Host-regent_session", old)
        assert "login_required" in (await person.open(app.request(VERIFIER, prompt="none"))).headers["location"]
    header = first.headers["set-cookie"].lower()
    assert all(flag in header for flag in ("secure", "httponly", "samesite=lax", "path=/"))
    assert "domain" not in header


async def test_wrong_and_unknown_look_the_same(app: App, world: World) -> None:
    """One answer for a wrong password, an unknown address and a person of another tenant."""
    stranger = await world.tenant()
    texts = []
    async with browser(world) as person:
        page = await person.open(app.request(VERIFIER))
        for email, password in (
            (app.tenant.email, "wrong password wrong"),
            ("nobody@example.com", "wrong password wrong"),
            (stranger.email, "correct horse battery staple"),
        ):
            answer = await person.log_in(page, email, password)
            texts.append((answer.status_code, answer.text.replace(email, "")))
    assert texts[0][0] == 401
    assert len(set(texts)) == 1


async def test_guessing_at_the_page_is_throttled(app: App) -> None:
    """The page asks the same throttle as the API: five failures, then 429 (S10)."""
    async with browser(app.world) as person:
        page = await person.open(app.request(VERIFIER))
        answers = [await person.log_in(page, app.tenant.email, "wrong password wrong") for _ in range(5)]
        right = await person.log_in(page, app.tenant.email)
    assert [answer.status_code for answer in answers] == [401] * 5
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0


async def test_a_challenge_is_solved_by_the_page(app: App) -> None:
    """After three failures the page brings a challenge and the one script that solves it; then the password is heard."""
    async with browser(app.world) as person:
        page = await person.open(app.request(VERIFIER))
        for _ in range(3):
            failed = await person.log_in(page, app.tenant.email, "wrong password wrong")
        assert "script-src 'sha256-" in failed.headers["content-security-policy"]
        assert (await person.log_in(failed, app.tenant.email)).status_code == 401
        found = re.search(r'data-challenge="([^"]+)"', failed.text)
        assert found
        challenge = Challenge.from_dict(json.loads(unescape(found[1])))
        solution = await asyncio.to_thread(solve_challenge, challenge)
        assert solution
        solved = Payload(challenge, solution).to_base64()
        right = await person.submit(failed, email=app.tenant.email, password=PASSWORD, challenge=solved)
    assert right.status_code == 200, right.text


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_other_sites_cannot_send_our_forms(app: App, headers: dict[str, str]) -> None:
    """Not even with the right token."""
    async with browser(app.world) as person:
        page = await person.open(app.request(VERIFIER))
        fields = Forms(page.text).found[0].fields
        filled = {**fields, "email": app.tenant.email, "password": "correct horse battery staple"}
        assert (await person.http.post("/oauth2/login", data=filled, headers=headers)).status_code == 403
        consent = await person.log_in(page, app.tenant.email)
        form = {**Forms(consent.text).found[0].fields, "decision": "allow"}
        assert (await person.http.post("/oauth2/consent", data=form, headers=headers)).status_code == 403


async def test_a_form_is_one_browsers_for_one_request(app: App) -> None:
    """Neither another browser's token nor another request's is taken."""
    async with browser(app.world) as victim, browser(app.world) as attacker:
        stolen = await attacker.log_in(await attacker.open(app.request(VERIFIER)), app.tenant.email)
        await victim.log_in(await victim.open(app.request(VERIFIER)), app.tenant.email)
        assert (await victim.submit(stolen, decision="allow")).status_code == 403
        login = await attacker.open(app.request(VERIFIER, prompt="login"))
        assert (await victim.log_in(login, app.tenant.email)).status_code == 403
        other = urlencode(app.request(VERIFIER, scope="report:read"))
        assert (await attacker.submit(stolen, decision="allow", request=other)).status_code == 403


async def test_logging_out_ends_the_session_on_the_server(app: App) -> None:
    """The cookie that was means nothing, even to whoever kept it; the client's tokens are not touched."""
    async with browser(app.world) as person:
        await person.log_in(await person.open(app.request(VERIFIER)), app.tenant.email)
        kept = person.http.cookies["__Host-regent_session"]
        page = await person.http.get("/oauth2/logout")
        assert app.tenant.email in page.text
        assert (await person.submit(page)).status_code == 200
        person.http.cookies.clear()
        person.http.cookies.set("__Host-regent_session", kept)
        assert told(await person.open(app.request(VERIFIER, prompt="none")))["error"] == "login_required"


async def test_logging_out_everywhere_ends_browsers_too(app: App) -> None:
    """A browser's login is a grant like any other: disabling the user ends it."""
    id_, email = await app.tenant.user("viewer")
    async with browser(app.world) as person:
        await person.log_in(await person.open(app.request(VERIFIER)), email)
        async with app.tenant.caller() as owner:
            await owner.post(f"/v1/users/{id_}/disable")
            await owner.post(f"/v1/users/{id_}/enable")
        assert told(await person.open(app.request(VERIFIER, prompt="none")))["error"] == "login_required"
