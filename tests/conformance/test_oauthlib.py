"""requests-oauthlib and oauthlib against the running stack."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from oauthlib.oauth2 import BackendApplicationClient, DeviceClient, WebApplicationClient
from oauthlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidScopeError,
    MismatchingStateError,
    UnauthorizedClientError,
)
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.conformance.server import API, CALLBACK, CLIENT, DEVICE, REFRESH, App, Person


@pytest.fixture(autouse=True, scope="module")
def plain_http() -> Iterator[None]:
    """Let the library speak to a local issuer: it insists on https otherwise."""
    before = dict(os.environ)
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"  # scopes are sets: their order may change
    yield
    os.environ.clear()
    os.environ.update(before)


def session(app: App, **more: Any) -> Any:
    """Return the library's session of an app that uses PKCE."""
    given = {"redirect_uri": CALLBACK, "scope": ["report:read", "offline_access"], "pkce": "S256", **more}
    return OAuth2Session(app.id, **given)


async def allowed(person: Person, one: Any) -> str:
    """Let somebody allow what a session asks for; returns where the browser is sent."""
    url, _ = one.authorization_url(f"{person.server.url}/oauth2/authorize")
    page = await person.browser.open(url.partition("?")[2])
    if page.status_code == 200:
        page = await person.browser.submit(page, decision="allow")
    location: str = page.headers["location"]
    return location


async def fetched(person: Person, app: App, one: Any, **more: Any) -> Any:
    """Exchange the answer for tokens, as the library does it."""
    location = await allowed(person, one)
    url = f"{person.server.url}/oauth2/token"
    given = {"authorization_response": location, "auth": HTTPBasicAuth(app.id, app.secret or ""), **more}
    return await asyncio.to_thread(one.fetch_token, url, **given)


async def test_code_with_pkce_and_a_protected_resource(person: Person, app: App) -> None:
    """Code, state and PKCE; then the library's session calls a service."""
    one = session(app)
    token = await fetched(person, app, one)
    assert set(token["scope"]) == {"report:read", "offline_access"}
    answer = await asyncio.to_thread(one.get, person.server.url + API)
    assert answer.status_code == 200


async def test_a_secret_in_the_body(person: Person, app: App) -> None:
    """client_secret_post, as `include_client_id` makes it."""
    token = await fetched(person, app, session(app), auth=None, include_client_id=True, client_secret=app.secret)
    assert token["refresh_token"]


async def test_a_public_client(person: Person) -> None:
    """No secret: the client names itself in the body."""
    app = await person.register(kind="public")
    token = await fetched(person, app, session(app), auth=None, include_client_id=True)
    assert token["refresh_token"]


async def test_an_answer_with_another_state_is_refused(person: Person, app: App) -> None:
    """The state comes back as it was sent, and the library looks."""
    one = session(app)
    location = await allowed(person, one)
    with pytest.raises(MismatchingStateError):
        one.fetch_token(f"{person.server.url}/oauth2/token", authorization_response=location + "&state=other")


async def test_refresh_and_no_second_use(person: Person, app: App) -> None:
    """Refresh tokens turn; a used one is refused."""
    one, url = session(app), f"{person.server.url}/oauth2/token"
    first = (await fetched(person, app, one))["refresh_token"]
    given = {"auth": HTTPBasicAuth(app.id, app.secret or "")}
    second = await asyncio.to_thread(one.refresh_token, url, first, **given)
    assert second["refresh_token"] != first
    with pytest.raises(InvalidGrantError):
        await asyncio.to_thread(one.refresh_token, url, first, **given)


async def test_a_used_code_is_refused(person: Person, app: App) -> None:
    """What the library sends twice works once."""
    one, url = session(app), f"{person.server.url}/oauth2/token"
    given = {"authorization_response": await allowed(person, one), "auth": HTTPBasicAuth(app.id, app.secret or "")}
    await asyncio.to_thread(one.fetch_token, url, **given)
    with pytest.raises(InvalidGrantError):
        await asyncio.to_thread(one.fetch_token, url, **given)


async def test_client_credentials(person: Person) -> None:
    """A client gets a token for itself, and what it may not have is refused by name."""
    app = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    url = f"{person.server.url}/oauth2/token"
    one = OAuth2Session(client=BackendApplicationClient(app.id, scope=["report:read"]))
    token = await asyncio.to_thread(one.fetch_token, url, client_id=app.id, client_secret=app.secret)
    assert token["scope"] == ["report:read"]
    with pytest.raises(InvalidScopeError):
        await asyncio.to_thread(
            one.fetch_token, url, client_id=app.id, client_secret=app.secret, scope=["report:write"]
        )


async def test_refusals_have_the_names_that_the_library_knows(person: Person, app: App) -> None:
    """A wrong secret is invalid_client; a grant that is not registered is unauthorized_client."""
    url, one = f"{person.server.url}/oauth2/token", OAuth2Session(client=BackendApplicationClient(app.id))
    with pytest.raises(InvalidClientError):
        await asyncio.to_thread(one.fetch_token, url, client_id=app.id, client_secret="wrong")
    with pytest.raises(UnauthorizedClientError):
        await asyncio.to_thread(one.fetch_token, url, client_id=app.id, client_secret=app.secret)


async def test_revocation(person: Person, app: App) -> None:
    """A request that the library prepares revokes a token."""
    tokens = await person.tokens(app)
    url = f"{person.server.url}/oauth2/revoke"
    _, _, body = WebApplicationClient(app.id).prepare_token_revocation_request(
        url, tokens["refresh_token"], token_type_hint="refresh_token"
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await app.http.post("/oauth2/revoke", content=body, headers=headers, auth=(app.id, app.secret or ""))
    assert answer.status_code == 200
    assert not await app.active(tokens["refresh_token"])


async def test_a_device_code(person: Person) -> None:
    """The library's device client polls in the words of RFC 8628."""
    app = await person.register(kind="public", grant_types=[DEVICE, REFRESH], redirect_uris=[])
    begun = (await app.post("/oauth2/device_authorization", scope="report:read")).json()
    page = await person.browser.send("GET", begun["verification_uri_complete"].removeprefix(person.server.url))
    page = await person.browser.submit(await person.browser.submit(page), decision="allow")
    assert page.status_code == 200
    body = DeviceClient(app.id).prepare_request_body(begun["device_code"], include_client_id=True)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await app.http.post("/oauth2/token", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
