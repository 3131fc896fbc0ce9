"""Authorization codes and the other grants (OAuth 2.1, 4.1.3 and 4.2; RFC 7636, 4)."""

import asyncio
from datetime import timedelta

import pytest

from libs.common.context import utc_now
from services.auth.store.flows import authorization_code
from tests.conformance.answers import bad, until_refused
from tests.conformance.browser import told
from tests.conformance.server import CLIENT, CODE, App, Person, challenge, new_verifier

VERIFIER = "v" * 43

VERIFIERS = {
    "another": "w" * 43,
    "too short": VERIFIER[:42],
    "too long": VERIFIER * 3,
    "the challenge": challenge(VERIFIER),
    "capitals": VERIFIER.upper(),
    "a space behind": VERIFIER + " ",
    "another alphabet": "v" * 42 + "é",
    "a null": VERIFIER + "\x00",
}


@pytest.mark.parametrize("name", VERIFIERS)
async def test_a_wrong_verifier(person: Person, app: App, name: str) -> None:
    """RFC 7636, 4.6; and a code whose challenge was that of a malformed verifier helps nobody."""
    given = await person.browser.allow(app.ask(VERIFIER))
    await bad(await app.redeem(given["code"], VERIFIERS[name]))


@pytest.mark.parametrize("verifier", ["short", "v" * 42, "v" * 129, "v" * 42 + "!", "v" * 42 + "ü"])
async def test_a_malformed_verifier_with_its_own_challenge(person: Person, app: App, verifier: str) -> None:
    """RFC 7636, 4.1: 43 to 128 characters of the unreserved ones."""
    given = await person.browser.allow(app.ask(verifier))
    await bad(await app.redeem(given["code"], verifier))


async def test_no_verifier(person: Person, app: App) -> None:
    """PKCE is for every client."""
    code, _ = await person.code(app)
    answer = await app.redeem(code, "")
    assert (answer.status_code, answer.json()["error"]) in ((400, "invalid_request"), (400, "invalid_grant"))


@pytest.mark.parametrize(
    "uri", ["https://client.example/other", "https://client.example/cb/", "https://evil.example/cb"]
)
async def test_another_uri(person: Person, app: App, uri: str) -> None:
    """A code is bound to the URI that it went to."""
    await bad(await app.redeem(*await person.code(app), redirect_uri=uri))


@pytest.mark.parametrize("code", ["x", "ac_", "ac_" + "A" * 64, "' OR 1=1 --", "../..", "ac_\x00", "a" * 5000])
async def test_an_invented_code(app: App, code: str) -> None:
    """Is refused, whatever it looks like."""
    answer = await app.redeem(code, new_verifier())
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


async def test_a_code_is_good_once_and_its_second_use_ends_what_it_gave(person: Person, app: App) -> None:
    """OAuth 2.1, 4.1.3: access and refresh token are revoked."""
    code, verifier = await person.code(app)
    first = (await app.redeem(code, verifier)).json()
    assert await app.active(first["access_token"])
    await bad(await app.redeem(code, verifier))
    assert not await app.active(first["access_token"])
    await bad(await app.refresh(first["refresh_token"]))
    await until_refused(person, first["access_token"])


@pytest.mark.parametrize("wrong", [{"code_verifier": "w" * 50}, {"redirect_uri": "https://client.example/other"}])
async def test_a_caught_code_ends_nothing(person: Person, app: App, wrong: dict[str, str]) -> None:
    """OAuth 2.1, 7.5.2: a replay that would not have been good the first time revokes nothing."""
    code, verifier = await person.code(app)
    tokens = (await app.redeem(code, verifier)).json()
    await bad(await app.redeem(code, verifier, **wrong))
    assert await app.active(tokens["access_token"])
    await bad(await app.redeem(code, verifier))
    assert not await app.active(tokens["access_token"])


async def test_a_code_lives_for_a_minute(person: Person, app: App) -> None:
    """OAuth 2.1, 4.1.2 and RFC 9700 want it short: a code that has just been given ends within a minute."""
    await person.code(app)
    ends = await person.server.latest(person.tenant, authorization_code)
    assert utc_now() < ends <= utc_now() + timedelta(seconds=60)


async def test_eight_at_once_have_one_success(person: Person, app: App) -> None:
    """No race wins twice."""
    code, verifier = await person.code(app)
    answers = await asyncio.gather(*(app.redeem(code, verifier) for _ in range(8)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert {answer.status_code for answer in answers} <= {200, 400}


async def test_a_strangers_try_burns_nothing(person: Person, app: App) -> None:
    """A code in the hands of another client is refused, and stays good for its own."""
    other = await person.register()
    code, verifier = await person.code(app)
    await bad(await other.redeem(code, verifier))
    assert (await app.redeem(code, verifier)).status_code == 200


async def test_another_tenants_client_gets_nothing(person: Person, stranger: Person, app: App) -> None:
    """The same over the borders of tenants."""
    other = await stranger.register()
    code, verifier = await person.code(app)
    await bad(await other.redeem(code, verifier))
    assert (await app.redeem(code, verifier)).status_code == 200


async def test_a_user_of_another_tenant_cannot_allow(stranger: Person, app: App) -> None:
    """Whoever is logged in elsewhere is asked to log in to the client's tenant."""
    page = await stranger.browser.open(app.ask(new_verifier()))
    assert page.status_code == 200
    assert 'name="password"' in page.text


async def test_a_token_answer_is_as_rfc_6749_says(person: Person, app: App) -> None:
    """5.1: the members, JSON, never kept."""
    answer = await app.redeem(*await person.code(app))
    shown = answer.json()
    assert answer.headers["content-type"].startswith("application/json")
    assert "no-store" in answer.headers["cache-control"]
    assert shown["token_type"].lower() == "bearer"
    assert 0 < shown["expires_in"] <= 300
    assert set(shown["scope"].split()) == {"report:read", "offline_access"}
    assert set(shown) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}


async def test_no_refresh_token_without_offline_access(person: Person, app: App) -> None:
    """OpenID Connect Core, 11."""
    assert "refresh_token" not in await person.tokens(app, scope="report:read")


GRANTS = ["password", "implicit", "", "urn:ietf:params:oauth:grant-type:jwt-bearer", "nonsense", "authorization-code",
          "urn:ietf:params:oauth:grant-type:token-exchange", "AUTHORIZATION_CODE", "token"]  # fmt: skip


@pytest.mark.parametrize("grant", GRANTS)
async def test_other_grants_do_not_exist(person: Person, app: App, grant: str) -> None:
    """No password grant, no implicit one, none that nobody documented."""
    answer = await app.token(grant_type=grant, username=person.email, password="correct horse battery staple")
    await bad(answer, "unsupported_grant_type" if grant else "invalid_request")


async def test_a_client_has_the_grants_that_it_registered(person: Person, app: App) -> None:
    """And no others."""
    await bad(await app.token(grant_type=CLIENT), "unauthorized_client")
    machine = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    await bad(
        await machine.redeem("x", new_verifier(), redirect_uri="https://client.example/cb"), "unauthorized_client"
    )
    await bad(await machine.refresh("x"), "unauthorized_client")
    await bad(await machine.post("/oauth2/device_authorization", scope="report:read"), "unauthorized_client")
    only = await person.register(grant_types=[CODE])
    await bad(await only.refresh("x"), "unauthorized_client")


@pytest.mark.parametrize("scope", ["report:write", "nonsense", "report:*", "platform:tenants", "openid", "a\tb"])
async def test_a_client_gets_no_more_than_its_roles(person: Person, scope: str) -> None:
    """For itself."""
    machine = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    await bad(await machine.token(grant_type=CLIENT, scope=scope), "invalid_scope")


@pytest.mark.parametrize(
    "scope", [" ", " report:read", "report:read ", "report:read  run:read", "report:read\trun:read", 'a"b', "ü"]
)
async def test_a_scope_is_written_as_rfc_6749_says(person: Person, app: App, scope: str) -> None:
    """RFC 6749, 3.3: names with one space between them; at the authorization endpoint and at the token endpoint alike."""
    machine = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    await bad(await machine.token(grant_type=CLIENT, scope=scope), "invalid_scope")
    tokens = await person.tokens(app)
    await bad(await app.refresh(tokens["refresh_token"], scope=scope), "invalid_scope")
    assert (await app.refresh(tokens["refresh_token"])).status_code == 200
    assert told(await person.browser.open(app.ask(new_verifier(), scope=scope)))["error"] == "invalid_scope"


async def test_client_credentials_give_no_refresh_token(person: Person) -> None:
    """OAuth 2.1, 4.2.3."""
    machine = await person.register(grant_types=[CLIENT], redirect_uris=[], scopes=None, roles=["viewer"])
    shown = (await machine.token(grant_type=CLIENT)).json()
    assert "refresh_token" not in shown
    assert "id_token" not in shown
