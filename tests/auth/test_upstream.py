"""Login by a tenant's own identity provider: there, back, and what is kept of it."""

from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from libs.common.context import Context, utc_now
from tests.auth.browsing import App, browser, told
from tests.auth.idp import Provider, linked, registered, sent
from tests.auth.world import PUBLIC_URL

VERIFIER = "v" * 50


@pytest.fixture
async def id_(app: App, provider: Provider) -> str:
    """Return the id of a provider whose `alice` is linked to the tenant's owner."""
    found = await registered(app.tenant, provider)
    page = await linked(app.tenant, provider, found, "alice")
    assert (page.status_code, "Linked" in page.text) == (200, True), page.text
    return found


async def test_who_is_linked_logs_in(app: App, provider: Provider, id_: str) -> None:
    """The login page has the provider's button; the login goes on with the client's request, to a code and a token."""
    async with browser(app.world) as person:
        opened = await person.open(app.request(VERIFIER))
        assert f'href="/oauth2/upstream/{id_}?request=' in opened.text
        assert "Log in with Acme" in opened.text
        consent = await person.http.get(provider.log_in(await sent(person, app, id_), "alice"))
        assert consent.status_code == 200, consent.text
        code = told(await person.submit(consent, decision="allow"))["code"]
    answer = await app.redeem(code, VERIFIER)
    async with app.world.client() as http:
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        assert (await http.get("/v1/me")).json()["id"] == str(app.tenant.owner)


async def test_the_request_is_bound_to_the_browser(app: App, provider: Provider, id_: str) -> None:
    """State, nonce and an S256 challenge, each its own; the cookie is of this host alone, and no script reads it."""
    async with browser(app.world) as person:
        query = {"request": "&".join(f"{name}={value}" for name, value in app.request(VERIFIER, state="x").items())}
        answer = await person.http.get(f"/oauth2/upstream/{id_}", params=query)
        asked = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        again = dict(parse_qsl(urlsplit(await sent(person, app, id_)).query))
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["redirect_uri"] == f"{PUBLIC_URL}/oauth2/upstream/{id_}/callback"
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge"))
    header = answer.headers["set-cookie"].lower()
    assert header.startswith("__host-regent_upstream=")
    assert all(flag in header for flag in ("secure", "httponly", "samesite=lax", "path=/"))


async def test_what_is_stored_opens_nothing(app: App, provider: Provider, id_: str) -> None:
    """S10: neither state nor cookie nor the client's secret can be read in the database; verifier and nonce are not there."""
    async with browser(app.world) as person:
        asked = dict(parse_qsl(urlsplit(await sent(person, app, id_)).query))
        cookie = person.http.cookies["__Host-regent_upstream"]
    async with app.world.runtime.database.transaction(Context(app.tenant.id, "user:test")) as tx:
        rows = [str(dict(row)) for row in await tx.connection.fetch("SELECT * FROM upstream_trip")]
        rows += [str(dict(row)) for row in await tx.connection.fetch("SELECT * FROM identity_provider")]
    for secret in (asked["state"], asked["nonce"], cookie, provider.secret):
        assert secret not in "".join(rows)


async def test_a_secret_goes_into_the_body_where_the_provider_wants_it(app: App, provider: Provider) -> None:
    """`client_secret_post` is spoken where the metadata offers nothing else; basic is what is preferred."""
    provider.said = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    id_ = await registered(app.tenant, provider)
    assert "Linked" in (await linked(app.tenant, provider, id_, "alice")).text


AGES: dict[str, tuple[int | None, bool]] = {
    "just now": (0, True),
    "too long ago": (600, False),
    "unknown": (None, False),
}


@pytest.mark.parametrize(("ago", "enough"), AGES.values(), ids=AGES.keys())
async def test_a_login_is_as_recent_as_the_client_wants_it(
    app: App, provider: Provider, id_: str, ago: int | None, *, enough: bool
) -> None:
    """`max_age` and `prompt` go on to the provider, and its `auth_time` has to keep to them (OpenID Connect Core, 3.1.2.1)."""
    said = {} if ago is None else {"auth_time": int(utc_now().timestamp()) - ago}
    async with browser(app.world) as person:
        location = await sent(person, app, id_, max_age="60", prompt="login")
        asked = dict(parse_qsl(urlsplit(location).query))
        answer = await person.http.get(provider.log_in(location, "alice", **said))
    assert (asked["max_age"], asked["prompt"]) == ("60", "login")
    assert ("__Host-regent_session" in answer.headers.get("set-cookie", "")) == enough, answer.text


async def test_a_tenant_has_a_login_page_of_its_own(app: App, provider: Provider, id_: str) -> None:
    """Who has no password gets to their account by a provider's button; an unknown tenant's page has none."""
    async with browser(app.world) as person:
        assert "Log in with" not in (await person.http.get(f"/account/at/{uuid4()}")).text
        page = await person.http.get(f"/account/at/{app.tenant.id}")
        path = f"/oauth2/upstream/{id_}?tenant={app.tenant.id}"
        assert f'href="{path}"' in page.text
        begun = await person.http.get(path)
        back = await person.http.get(provider.log_in(begun.headers["location"], "alice"))
        assert (back.status_code, back.headers["location"]) == (303, "/account")
        assert app.tenant.email in (await person.http.get("/account")).text


async def test_another_sites_link_begins_no_login(app: App, id_: str) -> None:
    """A login is begun on our own page: other sites send nobody to a provider from here."""
    async with browser(app.world) as person:
        headers = {"Sec-Fetch-Site": "cross-site"}
        answer = await person.http.get(f"/oauth2/upstream/{id_}?tenant={app.tenant.id}", headers=headers)
    assert (answer.status_code, "location" in answer.headers) == (403, False)
