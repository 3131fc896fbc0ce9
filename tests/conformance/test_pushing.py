"""Pushed authorization requests (RFC 9126)."""

import pytest

from services.auth.store.flows import authorization_code, pushed_request
from tests.conformance.answers import bad
from tests.conformance.browser import told
from tests.conformance.server import App, Person, new_verifier


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
