"""What another site, or who sits at the same browser before, can do to the pages (RFC 9700, 4.15 and 4.7; RFC 6819)."""

import pytest

from tests.conformance.browser import Browser, form_of
from tests.conformance.server import App, Person, new_verifier

SESSION, LOGIN = "__Host-regent_session", "__Host-regent_login"
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


async def test_no_page_can_be_framed(person: Person, app: App) -> None:
    """Neither those that say what is wrong nor those that end a session."""
    pages = [
        await person.browser.open({"client_id": "nobody"}),
        await person.browser.open(app.ask(new_verifier(), redirect_uri="https://evil.example/")),
        await person.browser.send("GET", "/oauth2/logout"),
        await person.browser.send("GET", "/oauth2/end_session"),
        await person.browser.send("GET", "/oauth2/end_session?post_logout_redirect_uri=https://evil.example/"),
        await person.browser.send("GET", "/oauth2/device?user_code=BCDF-GHJK"),
        await person.browser.send("POST", "/oauth2/consent", data={"request": "", "token": "x"}),
    ]
    for page in pages:
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"
        assert "no-store" in page.headers["cache-control"]
        assert "evil.example" not in page.text


@pytest.mark.parametrize("path", ["/oauth2/logout", "/oauth2/device", "/oauth2/end_session"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_another_site_sends_no_form(person: Person, path: str, headers: dict[str, str]) -> None:
    """Even with the form's secret nothing is done."""
    page = await person.browser.send("GET", path)
    to = f"{path}/confirm" if path.endswith("end_session") else path
    answer = await person.browser.send("POST", to, data=form_of(page), headers=headers)
    assert (answer.status_code, "location" in answer.headers) == (403, False)
    assert 'name="token"' in (await person.browser.send("GET", "/oauth2/logout")).text, "the session goes on"


@pytest.mark.parametrize("path", ["/oauth2/logout", "/oauth2/device", "/oauth2/end_session/confirm", "/oauth2/consent"])
async def test_a_form_without_its_secret_is_none(person: Person, app: App, path: str) -> None:
    """CSRF: the session's cookie alone decides nothing."""
    data = {"request": "", "decision": "allow", "user_code": "BCDF-GHJK"}
    if path.endswith("consent"):
        data["request"] = "&".join(f"{name}={value}" for name, value in app.ask(new_verifier(), state="x").items())
    for token in ({}, {"token": ""}, {"token": "0" * 64}):
        answer = await person.browser.send("POST", path, data={**data, **token})
        assert (answer.status_code, "location" in answer.headers) == (403, False)


async def test_a_login_form_is_its_browsers(person: Person, app: App) -> None:
    """Login CSRF: a form that one browser was given logs nobody in at another."""
    one, two = Browser(await person.server.http()), Browser(await person.server.http())
    page = await one.open(app.ask(new_verifier()))
    await two.open(app.ask(new_verifier()))
    fields = {**form_of(page), "email": person.email, "password": "correct horse battery staple"}
    answer = await two.send("POST", "/oauth2/login", data=fields)
    assert (answer.status_code, SESSION in two.cookies) == (403, False)


async def test_a_session_from_before_means_nothing_after_a_login(person: Person, app: App) -> None:
    """Session fixation: what an attacker planted, or kept, is another session than the one that is logged in."""
    victim = Browser(await person.server.http())
    for planted in ("x", "bs_" + "A" * 64, person.browser.cookies[SESSION][:-8] + "AAAAAAAA"):
        victim.cookies[SESSION] = planted
        await victim.log_in(person.email, app.ask(new_verifier()))
        assert victim.cookies[SESSION] != planted
    kept = victim.cookies[SESSION]
    page = await victim.open(app.ask(new_verifier(), prompt="login"))
    await victim.submit(page, email=person.email, password="correct horse battery staple")
    assert victim.cookies[SESSION] != kept
    attacker = Browser(await person.server.http(), {SESSION: kept})
    assert 'name="password"' in (await attacker.open(app.ask(new_verifier()))).text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\\\evil.example", "javascript:alert(1)"]
)
async def test_nobody_is_led_elsewhere(person: Person, app: App, target: str) -> None:
    """No parameter of any page is a place to go to, but what a client registered."""
    fresh = Browser(await person.server.http())
    for path in ("/oauth2/logout", "/oauth2/end_session", "/oauth2/device", "/oauth2/authorize", "/account"):
        for name in ("redirect_uri", "post_logout_redirect_uri", "next", "return_to", "continue", "url", "request"):
            answer = await fresh.http.get(path, params={name: target, "client_id": app.id})
            assert "evil.example" not in answer.headers.get("location", "")
            assert "javascript:" not in answer.headers.get("location", "")


async def test_pages_cannot_be_framed_or_kept(person: Person, app: App) -> None:
    """Login, consent and device page."""
    fresh = await person.server.http()
    pages = [
        await fresh.get("/oauth2/authorize", params=app.ask(new_verifier())),
        await person.browser.open(app.ask(new_verifier(), prompt="consent")),
        await person.browser.send("GET", "/oauth2/device"),
    ]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert "no-store" in page.headers["cache-control"]
        assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_another_site_cannot_consent(person: Person, app: App, headers: dict[str, str]) -> None:
    """Even with the form's secret."""
    page = await person.browser.open(app.ask(new_verifier(), prompt="consent"))
    data = {**form_of(page), "decision": "allow"}
    answer = await person.browser.send("POST", "/oauth2/consent", data=data, headers=headers)
    assert (answer.status_code, "location" in answer.headers) == (403, False)


@pytest.mark.parametrize("change", ["token", "request"])
async def test_a_consent_is_for_one_request(person: Person, app: App, change: str) -> None:
    """Without the form's secret, or for another request, it is none."""
    fields = form_of(await person.browser.open(app.ask(new_verifier(), prompt="consent")))
    others = {"token": "0" * len(fields["token"]), "request": fields["request"].replace("report", "run")}
    assert others[change] != fields[change]
    changed = {**fields, change: others[change], "decision": "allow"}
    answer = await person.browser.send("POST", "/oauth2/consent", data=changed)
    assert (answer.status_code, "location" in answer.headers) == (403, False)


async def test_a_consent_is_for_one_session(person: Person, stranger: Person, app: App) -> None:
    """Somebody else's form is none."""
    page = await person.browser.open(app.ask(new_verifier(), prompt="consent"))
    answer = await stranger.browser.send("POST", "/oauth2/consent", data={**form_of(page), "decision": "allow"})
    assert (answer.status_code, "location" in answer.headers) == (403, False)


async def test_cookies_are_the_origins_alone(person: Person, app: App) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite; a new session at each login."""
    at = (await person.server.at_browser()).browser
    before = dict(at.cookies)
    assert all(name.startswith("__Host-") for name in before)
    page = await at.http.get("/oauth2/authorize", params=app.ask(new_verifier()))
    for line in page.headers.get_list("set-cookie"):
        assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in line.split(";")}
        assert "samesite" in line.lower()
        assert "domain" not in line.lower()
