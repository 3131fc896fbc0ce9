"""Refresh tokens, introspection and revocation (RFC 9700, 4.14; RFC 7662; RFC 7009)."""

import asyncio
from dataclasses import replace

import pytest

from tests.conformance.answers import bad, until_refused
from tests.conformance.server import API, REFRESH, App, Person


async def test_rotation_and_replay(person: Person, app: App) -> None:
    """Each is good once; an old one ends all of the family (RFC 9700, 4.14.2)."""
    first = await person.tokens(app)
    second = (await app.refresh(first["refresh_token"])).json()
    third = (await app.refresh(second["refresh_token"])).json()
    assert len({one["refresh_token"] for one in (first, second, third)}) == 3
    await bad(await app.refresh(first["refresh_token"]))
    await bad(await app.refresh(third["refresh_token"]))
    for one in (first, second, third):
        assert not await app.active(one["access_token"])


async def test_parallel_refreshes_have_one_success(person: Person, app: App) -> None:
    """No race wins twice."""
    token = (await person.tokens(app))["refresh_token"]
    answers = await asyncio.gather(*(app.refresh(token) for _ in range(8)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1


async def test_a_refresh_token_is_its_clients(person: Person, stranger: Person, app: App) -> None:
    """Others are refused, and burn nothing."""
    token = (await person.tokens(app))["refresh_token"]
    for other in (await person.register(), await stranger.register()):
        await bad(await other.refresh(token))
    assert (await app.refresh(token)).status_code == 200


async def test_a_refresh_token_is_not_taken_without_its_client(person: Person, app: App) -> None:
    """Naming nobody is no way around."""
    token = (await person.tokens(app))["refresh_token"]
    http = await person.server.http()
    answer = await http.post("/oauth2/token", data={"grant_type": REFRESH, "refresh_token": token})
    assert answer.status_code in (400, 401)
    assert (await app.refresh(token)).status_code == 200


@pytest.mark.parametrize("scope", ["report:read run:read", "report:write", "openid", "report:*", "nonsense"])
async def test_a_scope_does_not_grow(person: Person, app: App, scope: str) -> None:
    """RFC 6749, 6; a refused wish burns nothing."""
    token = (await person.tokens(app))["refresh_token"]
    await bad(await app.refresh(token, scope=scope), "invalid_scope")
    assert (await app.refresh(token)).status_code == 200


async def test_a_narrower_scope_is_for_that_token_only(person: Person, app: App) -> None:
    """RFC 6749, 6: the grant stays what it was."""
    first = await person.tokens(app, scope="report:read run:read offline_access")
    second = (await app.refresh(first["refresh_token"], scope="run:read")).json()
    assert second["scope"] == "run:read"
    assert (await person.server.api(second["access_token"])).status_code == 403
    third = (await app.refresh(second["refresh_token"])).json()
    assert set(third["scope"].split()) == {"report:read", "run:read", "offline_access"}
    assert (await person.server.api(third["access_token"])).status_code == 200


@pytest.mark.parametrize("token", ["x", "rt_", "rt_" + "A" * 90, "' OR 1=1 --", "a" * 5000])
async def test_an_invented_refresh_token(app: App, token: str) -> None:
    """Is refused, whatever it looks like."""
    await bad(await app.refresh(token))


async def test_introspection_says_what_a_token_is(person: Person, app: App) -> None:
    """RFC 7662, 2.2, never kept."""
    tokens = await person.tokens(app)
    answer = await app.post("/oauth2/introspect", token=tokens["access_token"])
    shown = answer.json()
    assert "no-store" in answer.headers["cache-control"]
    assert shown["active"] is True
    assert shown["client_id"] == app.id
    assert shown["sub"] == f"user:{person.id}"
    assert shown["iss"] == person.server.url
    assert shown["scope"] == tokens["scope"]
    refresh = (await app.post("/oauth2/introspect", token=tokens["refresh_token"])).json()
    assert refresh["active"] is True
    assert set(refresh) >= {"iss", "sub", "client_id", "scope", "iat", "exp"}


async def test_introspection_is_for_confidential_clients(person: Person, native: App, app: App) -> None:
    """RFC 7662, 2.1: who asks has to be known."""
    token = (await person.tokens(app))["access_token"]
    assert (await native.post("/oauth2/introspect", token=token)).status_code == 401
    answer = await person.browser.http.post("/oauth2/introspect", data={"token": token})
    assert answer.status_code == 401
    bearer = {"Authorization": f"Bearer {person.access_token}"}
    answer = await person.browser.http.post("/oauth2/introspect", data={"token": token}, headers=bearer)
    assert answer.status_code == 401


async def test_others_learn_nothing(person: Person, stranger: Person, app: App) -> None:
    """A stranger reads the same of a good token as of nonsense."""
    tokens = await person.tokens(app)
    for other in (await person.register(), await stranger.register()):
        for token in (tokens["access_token"], tokens["refresh_token"], "nonsense"):
            assert (await other.post("/oauth2/introspect", token=token)).json() == {"active": False}


@pytest.mark.parametrize("token", ["x", "a.b.c", "rt_x", "' OR 1=1 --", "\x00", "a" * 9000])
@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
async def test_nonsense_is_not_active_and_revoking_it_is_fine(app: App, endpoint: str, token: str) -> None:
    """RFC 7662, 2.2; RFC 7009, 2.2."""
    answer = await app.post(f"/oauth2/{endpoint}", token=token)
    assert answer.status_code == 200, answer.text
    if endpoint == "introspect":
        assert answer.json() == {"active": False}


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
async def test_a_token_has_to_be_sent(app: App, endpoint: str) -> None:
    """`token` is required."""
    await bad(await app.post(f"/oauth2/{endpoint}", token_type_hint="access_token"), "invalid_request")


async def test_what_is_void_already_may_be_revoked_again(person: Person, app: App) -> None:
    """RFC 7009, 2.2: an invalid token is no error, whoever it was issued to."""
    tokens = await person.tokens(app)
    for asking in (app, app, await person.register()):
        for kind in ("access_token", "refresh_token"):
            assert (await asking.post("/oauth2/revoke", token=tokens[kind])).status_code == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token", "nonsense"])
async def test_revocation_ends_both(person: Person, app: App, kind: str, hint: str) -> None:
    """RFC 7009, 2.1: the hint may be wrong, and what came of the same grant goes with it."""
    tokens = await person.tokens(app)
    answer = await app.post("/oauth2/revoke", token=tokens[kind], token_type_hint=hint)
    assert answer.status_code == 200
    assert not await app.active(tokens["access_token"])
    await bad(await app.refresh(tokens["refresh_token"]))


async def test_a_revoked_token_ends_at_other_services(person: Person, app: App) -> None:
    """Within a second."""
    tokens = await person.tokens(app)
    assert (await person.server.api(tokens["access_token"])).status_code == 200
    await app.post("/oauth2/revoke", token=tokens["access_token"])
    await until_refused(person, tokens["access_token"])


async def test_revocation_reaches_nobody_elses_tokens(person: Person, stranger: Person, app: App) -> None:
    """RFC 7009, 2.1: the request is refused and the client told; another tenant's token is an unknown one (2.2)."""
    tokens = await person.tokens(app)
    for kind in ("access_token", "refresh_token"):
        await bad(await (await person.register()).post("/oauth2/revoke", token=tokens[kind]))
        assert (await (await stranger.register()).post("/oauth2/revoke", token=tokens[kind])).status_code == 200
    await bad(await (await person.register()).post("/oauth2/revoke", token=person.access_token))
    assert await app.active(tokens["access_token"])
    assert (await app.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_public_client_revokes_its_own(person: Person, native: App) -> None:
    """RFC 7009, 2.1."""
    tokens = await person.tokens(native, redirect_uri=native.uri)
    assert (await native.post("/oauth2/revoke", token=tokens["refresh_token"])).status_code == 200
    await bad(await native.refresh(tokens["refresh_token"]))


async def test_a_wrong_secret_revokes_nothing(person: Person, app: App) -> None:
    """The client has to be known first."""
    tokens = await person.tokens(app)
    thief = replace(app, secret="wrong", http=await person.server.http())
    assert (await thief.post("/oauth2/revoke", token=tokens["refresh_token"])).status_code == 401
    assert (await app.refresh(tokens["refresh_token"])).status_code == 200


async def test_the_api_route_is_there(person: Person) -> None:
    """The route that these tests call wants its scope."""
    assert (await person.server.api(person.access_token)).status_code == 200, API
