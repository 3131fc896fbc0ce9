"""Authorization requests and what comes of them (OAuth 2.1, 4.1; RFC 7636; RFC 9207; OpenID Connect Core, 3.1.2)."""

from urllib.parse import urlencode

import pytest

from tests.conformance.browser import PASSWORD, Browser, form_of, told
from tests.conformance.server import App, Person, new_verifier

FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "no response_type": ({"response_type": ""}, "invalid_request"),
    "response_type=token": ({"response_type": "token"}, "unsupported_response_type"),
    "response_type=id_token": ({"response_type": "id_token"}, "unsupported_response_type"),
    "response_type=id_token token": ({"response_type": "id_token token"}, "unsupported_response_type"),
    "response_type=code token": ({"response_type": "code token"}, "unsupported_response_type"),
    "response_type=code id_token": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "response_type=none": ({"response_type": "none"}, "unsupported_response_type"),
    "response_type=CODE": ({"response_type": "CODE"}, "unsupported_response_type"),
    "response_type with a tab": ({"response_type": "co\tde"}, "unsupported_response_type"),
    "response_type with a backslash": ({"response_type": "code\\"}, "unsupported_response_type"),
    "no challenge": ({"code_challenge": ""}, "invalid_request"),
    "no challenge and no method": ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
    "no method, which means plain": ({"code_challenge_method": ""}, "invalid_request"),
    "method plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "method s256": ({"code_challenge_method": "s256"}, "invalid_request"),
    "method S512": ({"code_challenge_method": "S512"}, "invalid_request"),
    "a challenge that is too short": ({"code_challenge": "a" * 42}, "invalid_request"),
    "a challenge that is too long": ({"code_challenge": "a" * 44}, "invalid_request"),
    "a challenge with padding": ({"code_challenge": "a" * 43 + "="}, "invalid_request"),
    "a challenge of another alphabet": ({"code_challenge": "a" * 42 + "+"}, "invalid_request"),
    "an unknown scope": ({"scope": "nonsense"}, "invalid_scope"),
    "a scope that the client may not ask for": ({"scope": "report:write"}, "invalid_scope"),
    "a scope of everything": ({"scope": "report:*"}, "invalid_scope"),
    "a malformed scope": ({"scope": 'report:read "x"'}, "invalid_scope"),
    "response_mode=fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "a request object": ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
    "prompt=none login": ({"prompt": "none login"}, "invalid_request"),
    "prompt=nonsense": ({"prompt": "nonsense"}, "invalid_request"),
    "max_age=-1": ({"max_age": "-1"}, "invalid_request"),
    "max_age=x": ({"max_age": "x"}, "invalid_request"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_the_client_is_told_what_is_wrong(person: Person, app: App, name: str) -> None:
    """By its name, with `state` as it was sent and `iss`, and without a code."""
    changed, error = FAULTS[name]
    said = told(await person.browser.open(app.ask(new_verifier(), **changed)))
    assert said["error"] == error, said
    assert said["state"] == "s&=1"
    assert said["iss"] == person.server.url
    assert "code" not in said
    assert "access_token" not in said


REPEATED = ["response_type", "scope", "state", "code_challenge", "code_challenge_method", "nonce", "prompt", "display"]


@pytest.mark.parametrize("name", REPEATED)
async def test_a_repeated_parameter_is_refused(person: Person, app: App, name: str) -> None:
    """RFC 6749, 3.1: equal values too, and those that we do not know."""
    asked = {**app.ask(new_verifier()), name: app.ask(new_verifier()).get(name, "x")}
    said = told(await person.browser.open(urlencode(asked) + f"&{urlencode({name: asked[name]})}"))
    assert said["error"] == "invalid_request"
    assert said["iss"] == person.server.url


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_or_uri_leads_nowhere(person: Person, app: App, name: str) -> None:
    """Nobody knows then where to."""
    asked = app.ask(new_verifier())
    answer = await person.browser.open(urlencode(asked) + f"&{urlencode({name: asked[name]})}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize("state", ["", "x", "a b+c&d=e%", "ü€😀", "<script>", "x" * 500, '"quoted"'])
async def test_state_comes_back_as_it_was(person: Person, app: App, state: str) -> None:
    """With a code; no state, none back."""
    given = await person.browser.allow(app.ask(new_verifier(), state=state))
    assert given.get("state", "") == state
    assert ("state" in given) == bool(state)
    assert given["iss"] == person.server.url
    assert "code" in given


async def test_unknown_parameters_are_ignored(person: Person, app: App) -> None:
    """RFC 6749, 3.1."""
    assert "code" in await person.browser.allow(app.ask(new_verifier(), nonsense="1", claims_locales="de"))


async def test_what_openid_clients_ask_beyond_is_passed_over(person: Person, app: App) -> None:
    """OpenID Connect Core, 3.1.2.1: scopes that are not understood are ignored; what may not be had is still refused."""
    tokens = await person.tokens(app, scope="openid address phone groups report:read")
    assert set(tokens["scope"].split()) == {"openid", "report:read"}
    refused = told(await person.browser.open(app.ask(new_verifier(), scope="openid report:write")))
    assert refused["error"] == "invalid_scope"


async def test_a_person_sees_where_a_client_may_act(person: Person, app: App) -> None:
    """RFC 8707: the resources asked for stand on the consent page, pushed or not."""
    places = [f"{person.server.url}/v1/reports", f"{person.server.url}/v1/runs"]
    asked = {**app.ask(new_verifier(), prompt="consent"), "resource": places}
    page = await person.browser.open(urlencode(asked, doseq=True))
    pushed = (await app.http.post("/oauth2/par", data=asked, auth=(app.id, app.secret or ""))).json()
    other = await person.browser.open({"client_id": app.id, "request_uri": pushed["request_uri"]})
    for shown in (page, other):
        assert "At these places only" in shown.text
        assert all(f"<small>{place}</small>" in shown.text for place in places)
    everywhere = await person.browser.open(app.ask(new_verifier(), prompt="consent"))
    assert everywhere.status_code == 200
    assert "At these places only" not in everywhere.text


async def test_a_login_hint_fills_the_field(person: Person, app: App) -> None:
    """OpenID Connect Core, 3.1.2.1; it is text, and changes nothing else."""
    hint = '"><script>@example.com'
    page = await person.browser.open(app.ask(new_verifier(), prompt="login", login_hint=hint))
    assert 'value="&quot;&gt;&lt;script&gt;@example.com"' in page.text
    assert "<script>@" not in page.text


async def test_a_denial_is_told(person: Person, native: App) -> None:
    """`access_denied`, with state and iss."""
    page = await person.browser.open(native.ask(new_verifier()))
    said = told(await person.browser.submit(page, decision="deny"))
    assert (said["error"], said["state"], said["iss"]) == ("access_denied", "s&=1", person.server.url)


async def test_a_redirect_is_not_kept(person: Person, app: App) -> None:
    """303, never 307, which would send the form on (RFC 9700, 4.12); not cached, no referrer."""
    page = await person.browser.open(app.ask(new_verifier(), prompt="consent"))
    answer = await person.browser.submit(page, decision="allow")
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_endpoint_is_no_api(person: Person, app: App) -> None:
    """It answers no other origin's scripts."""
    query = urlencode(app.ask(new_verifier()))
    answer = await person.browser.send("GET", f"/oauth2/authorize?{query}", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_request_may_be_posted(person: Person, app: App) -> None:
    """OpenID Connect Core, 3.1.2.1: GET and POST; what is posted goes on as if it had been asked for by GET."""
    answer = await person.browser.send("POST", "/oauth2/authorize", data=app.ask(new_verifier()))
    while answer.status_code == 303 and not answer.headers["location"].startswith(app.uri):
        answer = await person.browser.send("GET", answer.headers["location"].removeprefix(person.server.url))
    if answer.status_code == 200:
        answer = await person.browser.submit(answer, decision="allow")
    assert "code" in told(answer)


ALONE = [("request_uri", "https://evil.example/x", {"invalid_request_uri", "request_uri_not_supported"}),
         ("registration", "{}", {"registration_not_supported"})]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "errors"), ALONE)
async def test_what_is_not_supported_is_named(
    person: Person, app: App, name: str, value: str, errors: set[str]
) -> None:
    """OpenID Connect Core, 3.1.2.6; a page says it where the client is not told."""
    answer = await person.browser.open(app.ask(new_verifier(), **{name: value}))
    assert answer.status_code == 400 or told(answer).get("error") in errors


async def test_a_new_login_can_be_wished(person: Person, app: App) -> None:
    """prompt=login and max_age=0 ask for the password again (OpenID Connect Core, 3.1.2.1)."""
    for wish in ({"prompt": "login"}, {"max_age": "0"}, {"prompt": "select_account"}):
        page = await person.browser.open(app.ask(new_verifier(), **wish))
        assert page.status_code == 200
        assert 'name="password"' in page.text


async def test_prompt_none_shows_no_page(person: Person, app: App) -> None:
    """An answer to the client in every case."""
    await person.tokens(app)
    assert "code" in told(await person.browser.open(app.ask(new_verifier(), prompt="none")))
    fresh = await person.server.http()
    said = told(await fresh.get("/oauth2/authorize", params=app.ask(new_verifier(), prompt="none")))
    assert (said["error"], said["iss"]) == ("login_required", person.server.url)
    other = await person.register()
    said = told(await person.browser.open(other.ask(new_verifier(), prompt="none")))
    assert said["error"] in ("consent_required", "interaction_required")


async def test_nobody_but_whom_the_client_means(person: Person) -> None:
    """OpenID Connect Core, 3.1.2.1: where another logs in than `id_token_hint` names, the client gets an error."""
    app = await person.register()
    hint = (await person.tokens(app, scope="openid"))["id_token"]
    asked = app.ask(new_verifier(), scope="openid report:read", id_token_hint=hint)
    assert "code" in await person.browser.allow(asked)
    email = await person.server.user(person.tenant, "viewer")
    other = Browser(await person.server.http())
    said = told(await other.submit(await other.open(asked), email=email, password=PASSWORD))
    assert (said["error"], said["state"], said["iss"]) == ("login_required", "s&=1", person.server.url)
    assert "code" not in said
    page = await other.open(app.ask(new_verifier(), scope="openid report:read"))
    assert 'name="decision"' in page.text, "they are logged in all the same"
    forged = {**form_of(page), "decision": "allow", "request": urlencode(asked)}
    assert (await other.send("POST", "/oauth2/consent", data=forged)).status_code == 403
