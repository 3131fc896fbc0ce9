"""Nonsense in every parameter, header and cookie: a refusal in the endpoint's own words, never a 5xx."""

from typing import Any

import pytest

from tests.conformance.browser import form_of
from tests.conformance.server import CLIENT, CODE, DEVICE, REFRESH, App, Person, Server, new_verifier

VALUES = ["a\x00b", "é😀", "x" * 5000, "' OR 1=1 --", "%00", '{"a":1}', "\r\nX-A: b", "-1"]
COMMON = ("client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource")
FIELDS: dict[str, tuple[str, ...]] = {
    "token": ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "device_code", *COMMON),
    "introspect": ("token", "token_type_hint", *COMMON),
    "revoke": ("token", "token_type_hint", *COMMON),
    "par": (
        "response_type",
        "redirect_uri",
        "state",
        "nonce",
        "prompt",
        "max_age",
        "code_challenge",
        "dpop_jkt",
        *COMMON,
    ),
    "device_authorization": COMMON,
}
SOUND = {"code": "x", "refresh_token": "x", "device_code": "x", "code_verifier": "v" * 43, "token": "x"}


@pytest.fixture(scope="module")
async def able(person: Person) -> App:
    """Return a client that may do everything."""
    return await person.register(grant_types=[CODE, REFRESH, DEVICE, CLIENT], roles=["viewer"])


@pytest.mark.parametrize(("endpoint", "field"), [(one, field) for one, fields in FIELDS.items() for field in fields])
async def test_a_parameter(able: App, endpoint: str, field: str) -> None:
    """With sound credentials, so that everything behind them is reached; each value at each grant."""
    far = await able.afar()
    for number, value in enumerate(VALUES):
        grant = (CODE, REFRESH, DEVICE, CLIENT)[number % 4]
        asked = {**SOUND, **able.ask("v" * 43), "client_id": "", "grant_type": grant, field: value}
        answer = await far.post(f"/oauth2/{endpoint}", **asked)
        assert answer.status_code < 500, (value, answer.text)
        assert answer.status_code != 429 or field in COMMON, value
        if answer.status_code >= 400:
            assert answer.json()["error"]


ASKED = ("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age",
         "code_challenge", "code_challenge_method", "request", "request_uri", "dpop_jkt", "resource", "id_token_hint",
         "login_hint", "acr_values", "ui_locales", "display", "claims", "registration")  # fmt: skip


@pytest.mark.parametrize("field", ASKED)
async def test_an_authorization_request(person: Person, app: App, field: str) -> None:
    """A page or an answer to the client; nothing that was sent breaks out of either."""
    for value in VALUES:
        asked = {**app.ask("v" * 43), field: value}
        answer = await person.browser.open(asked)
        assert answer.status_code in (200, 303, 400, 431), (value, answer.status_code, answer.text)
        assert "x-a" not in answer.headers
        if answer.status_code == 303:
            assert answer.headers["location"].startswith(f"{app.uri}?")


HEADERS = ["authorization", "dpop", "cookie", "content-type", "traceparent"]
BYTES = [b"\xff\xfe", b"Basic", b"Bearer", b"DPoP a.b.c", b"Basic " + b"A" * 9000, b";;;=", b"null", b",", b"a=b; a=c",
         b"__Host-regent_session=bs_AAAA; __Host-regent_login=\xff"]  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/authorize", "/oauth2/userinfo", "/oauth2/login"])
async def test_a_header(server: Server, path: str, name: str) -> None:
    """Whatever bytes it holds."""
    http = await server.http()
    method = "POST" if path.endswith(("token", "login")) else "GET"
    for value in BYTES:
        content = b"grant_type=client_credentials" if method == "POST" else None
        kind = [] if name == "content-type" else [(b"Content-Type", b"application/x-www-form-urlencoded")]
        answer = await http.request(method, path, content=content, headers=[*kind, (name.encode(), value)])
        assert 400 <= answer.status_code < 500, (value, answer.text)


FORMS: dict[str, tuple[str, ...]] = {
    "login": ("email", "password", "request", "token", "challenge"),
    "consent": ("request", "token", "decision"),
    "second-factor": ("request", "token", "pending", "code"),
    "device": ("user_code", "token", "decision", "request"),
    "device/login": ("email", "password", "request", "token", "tenant"),
    "logout": ("request", "token"),
}


@pytest.fixture(scope="module")
async def visitor(server: Server) -> Person:
    """Return somebody whose tries are counted against nobody else."""
    return await server.at_browser()


@pytest.mark.parametrize(("path", "field"), [(path, field) for path, fields in FORMS.items() for field in fields])
async def test_a_page(visitor: Person, path: str, field: str) -> None:
    """Forms of pages, sent by somebody who has the page."""
    app = await visitor.register()
    page = await visitor.browser.open(app.ask(new_verifier(), prompt="login" if "login" in path else "consent"))
    sound = {**form_of(page), "email": "nobody@example.com", "password": "x", "decision": "deny", "user_code": ""}
    for value in VALUES[:6] if field in ("email", "password") else VALUES:
        answer: Any = await visitor.browser.send("POST", f"/oauth2/{path}", data={**sound, field: value})
        assert answer.status_code < 500, (value, answer.text)


BODIES = {
    "/v1/login": ("email", "password", "tenant", "challenge"),
    "/v1/signup": ("email", "name", "tenant_name"),
    "/v1/password/forgot": ("email",),
    "/v1/password/reset": ("token", "password"),
    "/v1/signup/verify": ("token", "password"),
    "/v1/email/confirm": ("token",),
    "/v1/login/second-factor": ("token", "code"),
    "/v1/setup": ("token", "tenant_name", "email", "name", "password"),
}


@pytest.mark.parametrize("path", BODIES)
async def test_a_body(server: Server, path: str) -> None:
    """JSON of accounts: other types than texts as well."""
    http = await server.http()
    for field in BODIES[path]:
        for value in (
            *VALUES,
            None,
            1,
            [],
            {},
            True,
            1e400,
            "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
        ):
            body = {**dict.fromkeys(BODIES[path], "nobody@example.com"), field: value}
            if value == 1e400:
                answer = await http.post(path, content=b'{"%s": 1e400}' % field.encode())
            else:
                answer = await http.post(path, json=body)
            assert answer.status_code < 500, (field, value, answer.text)
