"""Pushed authorization requests (RFC 9126) and device authorization (RFC 8628)."""

import asyncio
from typing import Any

import pytest

from services.auth.store.devices import device_authorization
from services.auth.store.flows import authorization_code, pushed_request
from tests.conformance.answers import bad
from tests.conformance.server import DEVICE, REFRESH, App, Person, form_of, new_verifier, told


async def pushed(app: App, verifier: str, **changed: str) -> str:
    """Push a request; returns its reference."""
    answer = await app.post("/oauth2/par", **{**app.ask(verifier), "client_id": "", **changed})
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert 5 <= shown["expires_in"] <= 600
    assert "no-store" in answer.headers["cache-control"]
    reference: str = shown["request_uri"]
    assert reference.startswith("urn:ietf:params:oauth:request_uri:")
    return reference


async def test_what_is_pushed_wins(person: Person, app: App) -> None:
    """RFC 9126, 4: parameters beside the reference say nothing."""
    verifier = new_verifier()
    reference = await pushed(app, verifier, state="pushed", scope="report:read")
    beside = {"client_id": app.id, "request_uri": reference, "state": "query", "scope": "run:read"}
    given = await person.browser.allow(beside)
    assert given["state"] == "pushed"
    assert (await app.redeem(given["code"], verifier)).json()["scope"] == "report:read"


async def test_a_reference_works_once(person: Person, app: App) -> None:
    """RFC 9126, 7.3."""
    reference = await pushed(app, new_verifier())
    assert "code" in await person.browser.allow({"client_id": app.id, "request_uri": reference})
    await nowhere(person, app, reference)


async def test_a_reference_expires(person: Person, app: App) -> None:
    """RFC 9126, 2.2."""
    reference = await pushed(app, new_verifier())
    await person.server.expire(person.tenant, pushed_request)
    await nowhere(person, app, reference)


async def nowhere(person: Person, app: App, reference: str) -> None:
    """Expect that a reference gives no code."""
    answer = await person.browser.open({"client_id": app.id, "request_uri": reference})
    assert "code=" not in answer.headers.get("location", "")
    assert answer.status_code in (303, 400)


async def test_a_reference_is_its_clients(person: Person, stranger: Person, app: App) -> None:
    """RFC 9126, 2.2: others cannot use it, of this tenant or another."""
    reference = await pushed(app, new_verifier())
    for other in (await person.register(), await stranger.register()):
        await nowhere(person, other, reference)
    assert "code" in await person.browser.allow({"client_id": app.id, "request_uri": reference})


URIS = ["urn:ietf:params:oauth:request_uri:x", "https://evil.example/request.jwt", "x", "file:///etc/passwd",
        "urn:ietf:params:oauth:request_uri:" + "A" * 64, "http://127.0.0.1:1/"]  # fmt: skip


@pytest.mark.parametrize("uri", URIS)
async def test_an_invented_reference(person: Person, app: App, uri: str) -> None:
    """Nothing is fetched from anywhere."""
    await nowhere(person, app, uri)


WRONG: dict[str, dict[str, str]] = {
    "a reference inside": {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
    "another URI": {"redirect_uri": "https://evil.example/cb"},
    "no URI": {"redirect_uri": ""},
    "response_type=token": {"response_type": "token"},
    "plain": {"code_challenge_method": "plain"},
    "no challenge": {"code_challenge": ""},
    "an unknown scope": {"scope": "nonsense"},
    "a request object": {"request": "eyJhbGciOiJub25lIn0.e30."},
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_request_is_refused_at_once(app: App, name: str) -> None:
    """RFC 9126, 2.3."""
    answer = await app.post("/oauth2/par", **{**app.ask(new_verifier()), "client_id": "", **WRONG[name]})
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_pushing_needs_the_client(app: App) -> None:
    """RFC 9126, 2: authenticated as at the token endpoint."""
    asked = app.ask(new_verifier())
    far = await app.afar()
    assert (await far.http.post("/oauth2/par", data=asked)).status_code == 401
    assert (await (await app.afar(secret="wrong")).post("/oauth2/par", **{**asked, "client_id": ""})).status_code == 401


async def test_a_client_may_have_to_push(person: Person) -> None:
    """RFC 9126, 5: its plain requests are refused."""
    app = await person.register(require_par=True)
    assert told(await person.browser.open(app.ask(new_verifier())))["error"] == "invalid_request"
    given = await person.browser.allow({"client_id": app.id, "request_uri": await pushed(app, new_verifier())})
    assert "code" in given


async def test_a_code_expires(person: Person, app: App) -> None:
    """OAuth 2.1, 4.1.2."""
    code, verifier = await person.code(app)
    await person.server.expire(person.tenant, authorization_code)
    await bad(await app.redeem(code, verifier))


# Devices


@pytest.fixture(scope="module")
async def device(person: Person) -> App:
    """Return a client without a browser."""
    return await person.register(kind="public", grant_types=[DEVICE, REFRESH], redirect_uris=[])


async def begun(device: App, **more: str) -> dict[str, Any]:
    answer = await device.post("/oauth2/device_authorization", **{"scope": "report:read offline_access", **more})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def poll(device: App, code: str) -> Any:
    return await device.token(grant_type=DEVICE, device_code=code)


async def decide(person: Person, user_code: str, decision: str) -> int:
    """Type a code in and decide; returns the status of the page where nothing was to be decided."""
    page = await person.browser.send("GET", "/oauth2/device")
    page = await person.browser.submit(page, user_code=user_code)
    if 'value="allow"' not in page.text:
        return page.status_code
    return (await person.browser.submit(page, decision=decision)).status_code


async def test_a_device_is_told_what_it_needs(device: App) -> None:
    """RFC 8628, 3.2."""
    shown = await begun(device)
    assert set(shown) >= {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
    assert shown["verification_uri"].startswith(device.server.url)
    assert shown["user_code"] in shown["verification_uri_complete"]
    assert len(shown["user_code"].replace("-", "")) >= 8
    assert not set("AEIOU01") & set(shown["user_code"])


async def test_pending_then_slow_down(device: App) -> None:
    """RFC 8628, 3.5."""
    code = (await begun(device))["device_code"]
    await bad(await poll(device, code), "authorization_pending")
    await bad(await poll(device, code), "slow_down")


@pytest.mark.parametrize("typed", [str.lower, lambda text: text.replace("-", ""), lambda text: f" {text} "])
async def test_a_code_is_typed_as_people_type(person: Person, device: App, typed: Any) -> None:
    """RFC 8628, 6.1: case, dashes and spaces do not matter."""
    shown = await begun(device)
    assert await decide(person, typed(shown["user_code"]), "allow") == 200
    assert (await poll(device, shown["device_code"])).status_code == 200


async def test_an_allowed_code_works_once(person: Person, device: App) -> None:
    """Also for eight at once."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    answers = await asyncio.gather(*(poll(device, shown["device_code"]) for _ in range(8)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    await bad(await poll(device, shown["device_code"]))


async def test_a_denied_code(person: Person, device: App) -> None:
    """`access_denied`."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "deny")
    await bad(await poll(device, shown["device_code"]), "access_denied")


async def test_an_expired_code(person: Person, device: App) -> None:
    """`expired_token`; and nobody can allow it any more."""
    shown = await begun(device)
    await person.server.expire(person.tenant, device_authorization)
    await bad(await poll(device, shown["device_code"]), "expired_token")
    assert await decide(person, shown["user_code"], "allow") == 400


async def test_an_expired_code_is_not_forgotten_at_once(person: Person, device: App) -> None:
    """RFC 8628, 3.5: `expired_token`, also where another device has begun since."""
    shown = await begun(device)
    await person.server.expire(person.tenant, device_authorization)
    await begun(device)
    await bad(await poll(device, shown["device_code"]), "expired_token")


async def test_a_person_sees_where_a_device_may_act(person: Person, device: App) -> None:
    """RFC 8707: the resources stand beside the scope."""
    place = f"{person.server.url}/v1/reports"
    shown = await begun(device, resource=place)
    page = await person.browser.submit(await person.browser.send("GET", "/oauth2/device"), user_code=shown["user_code"])
    assert f"reports <small>{place}</small>" in page.text


async def test_a_code_is_its_devices(person: Person, stranger: Person, device: App) -> None:
    """Other clients get nothing, and burn nothing."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    changed = {"kind": "public", "grant_types": [DEVICE, REFRESH], "redirect_uris": []}
    for other in (await person.register(**changed), await stranger.register(**changed)):
        await bad(await poll(other, shown["device_code"]))
    assert (await poll(device, shown["device_code"])).status_code == 200


@pytest.mark.parametrize("code", ["x", "dc_", "dc_" + "A" * 64, "' OR 1=1 --", "a" * 5000])
async def test_an_invented_device_code(device: App, code: str) -> None:
    """Is refused, whatever it looks like."""
    await bad(await poll(device, code))


async def test_a_user_code_is_no_device_code(person: Person, device: App) -> None:
    """What people see does not poll."""
    shown = await begun(device)
    await decide(person, shown["user_code"], "allow")
    await bad(await poll(device, shown["user_code"]))


@pytest.mark.parametrize("scope", ["report:write", "nonsense", "report:*"])
async def test_a_device_asks_for_what_it_may(device: App, scope: str) -> None:
    """As at the authorization endpoint."""
    await bad(await device.post("/oauth2/device_authorization", scope=scope), "invalid_scope")


async def test_guessing_user_codes_is_slow(person: Person, device: App) -> None:
    """RFC 8628, 5.1: after some wrong ones the right one waits as well."""
    guesser = await person.server.at_browser()
    for _ in range(6):
        await decide(guesser, "BCDF-GHJK", "allow")
    assert await decide(guesser, "BCDF-GHJK", "allow") == 429


async def test_a_user_of_another_tenant_allows_nothing(stranger: Person, device: App) -> None:
    """The code means nothing there."""
    shown = await begun(device)
    assert await decide(stranger, shown["user_code"], "allow") == 400
    await bad(await poll(device, shown["device_code"]), "authorization_pending")


# Pages


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


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


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
