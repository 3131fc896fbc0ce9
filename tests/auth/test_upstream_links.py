"""Accounts are linked on three grounds only, never by an address; what came of a link ends with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import totp
from services.auth.commands import factors
from services.auth.store import accounts
from tests.auth.browsing import App, browser, register, told
from tests.auth.idp import Provider, Providers, linked, registered, sent
from tests.auth.mailbox import Mailbox
from tests.auth.test_invitations import invited
from tests.auth.test_second_factor import enrolled
from tests.auth.test_signup import login, post, somebody
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

DOMAIN = "example.com"
JUST_IN_TIME = {"provisions": True, "domains": [DOMAIN], "roles": ["viewer"]}
VERIFIER = "v" * 50


@pytest.fixture
async def app(tenant: Tenant) -> App:
    """Return a confidential client."""
    return await register(tenant)


@pytest.fixture
def provider(idps: Providers) -> Provider:
    """Return a provider that nobody knows yet."""
    return idps.new()


async def attempt(app: App, provider: Provider, id_: str, subject: str, **claims: Any) -> httpx.Response:
    """Log in by a provider in a browser of its own; returns the last page."""
    async with browser(app.world) as person:
        return await person.http.get(provider.log_in(await sent(person, app, id_), subject, **claims))


def opened(answer: httpx.Response) -> bool:
    """Say whether an answer opens a session."""
    return "__Host-regent_session" in answer.headers.get("set-cookie", "")


async def identities(tenant: Tenant, id_: str) -> list[dict[str, Any]]:
    """Return who is linked to a provider."""
    async with tenant.caller() as http:
        found: list[dict[str, Any]] = (await http.get(f"/v1/identity-providers/{id_}/identities")).json()["items"]
    return found


async def test_an_owners_address_opens_nothing(app: App, provider: Provider) -> None:
    """S10: a verified address that matches an owner's account is no link, even where new members are let in."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    answer = await attempt(app, provider, id_, "mallory", email=app.tenant.email, email_verified=True)
    assert (answer.status_code, opened(answer)) == (403, False)
    assert "/account/identities" in answer.text
    assert await identities(app.tenant, id_) == []


async def test_a_changed_subject_is_another_person(app: App, provider: Provider) -> None:
    """The address of somebody who is linked helps nobody else at the provider."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    answer = await attempt(app, provider, id_, "alice2", email=app.tenant.email, email_verified=True)
    assert (answer.status_code, opened(answer)) == (403, False)


NOT_LET_IN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unverified": (JUST_IN_TIME, {"email_verified": False}),
    "verified as text": (JUST_IN_TIME, {"email_verified": "true"}),
    "nothing said of it": (JUST_IN_TIME, {}),
    "another domain": ({**JUST_IN_TIME, "domains": ["example.org"]}, {"email_verified": True}),
    "a domain below": ({**JUST_IN_TIME, "domains": ["sub.example.com"]}, {"email_verified": True}),
    "not switched on": ({"domains": [DOMAIN], "roles": ["viewer"]}, {"email_verified": True}),
}


@pytest.mark.parametrize(("terms", "claims"), NOT_LET_IN.values(), ids=NOT_LET_IN.keys())
async def test_who_is_unknown_stays_out(
    app: App, provider: Provider, terms: dict[str, Any], claims: dict[str, Any]
) -> None:
    """S10: nobody becomes a member by an address that is not verified, or not of a domain that the terms name."""
    id_ = await registered(app.tenant, provider, **terms)
    email = somebody()
    answer = await attempt(app, provider, id_, "new", email=email, **claims)
    assert (answer.status_code, opened(answer)) == (403, False)
    assert (await login(app.world, email)).status_code == 401


async def test_who_is_new_becomes_a_member(app: App, provider: Provider, mailbox: Mailbox) -> None:
    """Where the terms say so: with the roles that they name, and without a password until one is chosen by mail."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    email, claims = somebody(), {"email_verified": True, "name": "Nina New"}
    for _ in range(2):
        answer = await attempt(app, provider, id_, "nina", email=email, **claims)
        assert opened(answer), answer.text
    async with app.tenant.caller() as http:
        users = (await http.get("/v1/users")).json()["items"]
    (made,) = [user for user in users if user["email"] == email]
    assert (made["name"], made["roles"]) == ("Nina New", ["viewer"])
    for password in (PASSWORD, "", "the password of nobody"):
        assert (await login(app.world, email, password or "x")).status_code == 401
    await post(app.world, "/v1/password/forgot", {"email": email})
    token = (await mailbox.wait(email))[-1].token
    assert (await post(app.world, "/v1/password/reset", {"token": token, "password": PASSWORD})).status_code == 204
    assert (await login(app.world, email)).status_code == 200


async def test_who_reads_the_mail_is_not_shut_out_by_who_came_first(
    app: App, provider: Provider, mailbox: Mailbox
) -> None:
    """A factor that was set up before the address was proven goes when its password is first chosen by mail."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    email = somebody()
    assert opened(await attempt(app, provider, id_, email, email=email, email_verified=True))
    world = app.world
    authority, context = world.runtime.extras["auth"], Context(SYSTEM_TENANT, "anonymous", utc_now())
    async with world.runtime.database.transaction(context) as tx:
        identity = await accounts.find_identity(tx, email)
        assert identity is not None
        person = factors.Person(identity["id"], app.tenant.id)
        planted = await factors.enrol_totp(tx, authority, person, "planted")
        code = totp.code_at(planted.secret, totp.step_of(context.now))
        await factors.confirm_totp(tx, authority, person, planted.id, code)
    await post(world, "/v1/password/forgot", {"email": email})
    token = (await mailbox.newest(email, "Choose another password")).token
    short = await post(world, "/v1/password/reset", {"token": token, "password": "eight ch"})
    assert short.status_code == 422
    assert (await post(world, "/v1/password/reset", {"token": token, "password": PASSWORD})).status_code == 204
    assert (await login(world, email)).status_code == 200


async def test_an_address_in_the_userinfo_counts_for_its_own_subject(app: App, provider: Provider) -> None:
    """OpenID Connect Core, 5.3.4: what is said of another subject is not used."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    provider.userinfo = {"sub": "somebody-else", "email": somebody(), "email_verified": True}
    assert not opened(await attempt(app, provider, id_, "new"))
    provider.userinfo["sub"] = "new"
    assert opened(await attempt(app, provider, id_, "new"))


async def test_a_mail_tells_of_a_link(app: App, provider: Provider, mailbox: Mailbox) -> None:
    """Who did not make it learns of it, and where it can be taken back."""
    await linked(app.tenant, provider, await registered(app.tenant, provider), "alice")
    mail = await mailbox.newest(app.tenant.email, "Another way into your account")
    assert "at Acme logs in as you at Broker" in mail.plain
    assert f"{PUBLIC_URL}/account/identities" in mail.plain


async def test_a_link_asks_for_the_password(app: App, provider: Provider) -> None:
    """A token alone links nothing: neither without a password nor with a wrong one."""
    id_ = await registered(app.tenant, provider)
    async with app.tenant.caller() as http:
        bodies: list[dict[str, str]] = [
            {},
            {"password": "wrong password wrong"},
            {"password": PASSWORD, "code": "123456"},
        ]
        answers = [await http.post("/v1/me/identities", json={"provider": id_, **body}) for body in bodies]
    assert [answer.status_code for answer in answers] == [422, 401, 422]


async def test_a_link_is_made_in_the_browser_that_confirmed(app: App, provider: Provider) -> None:
    """S10: who lures somebody to the address of their own link gets nothing: it is another browser."""
    id_ = await registered(app.tenant, provider)
    async with app.tenant.caller() as attacker, browser(app.world) as victim:
        begun = await attacker.post("/v1/me/identities", json={"provider": id_, "password": PASSWORD})
        answer = await victim.http.get(provider.log_in(begun.json()["location"], "victim"))
    assert answer.status_code == 403
    assert await identities(app.tenant, id_) == []


async def test_a_link_ends_with_the_login_that_began_it(app: App, provider: Provider) -> None:
    """Who has logged out meanwhile links nothing."""
    id_ = await registered(app.tenant, provider)
    async with app.tenant.caller() as http:
        begun = await http.post("/v1/me/identities", json={"provider": id_, "password": PASSWORD})
        assert (await http.post("/v1/logout")).status_code == 204
        answer = await http.get(provider.log_in(begun.json()["location"], "alice"))
    assert answer.status_code == 403
    assert await identities(app.tenant, id_) == []


async def test_somebody_at_a_provider_is_one_person_here(app: App, provider: Provider) -> None:
    """A subject that is linked is not linked again, to nobody else and not twice."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    _, email = await app.tenant.user("viewer")
    assert (await linked(app.tenant, provider, id_, "alice", email)).status_code == 409
    assert (await linked(app.tenant, provider, id_, "bob")).status_code == 409
    (only,) = await identities(app.tenant, id_)
    assert (only["subject"], only["user_id"]) == ("alice", str(app.tenant.owner))


async def test_a_provider_leads_into_its_own_tenant_only(app: App, provider: Provider, world: World) -> None:
    """S37: tenant A's provider logs nobody in to tenant B, even who is a member of both, and is not offered there."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    other = await register(await world.tenant())
    await other.tenant.join(app.tenant.email, "viewer")
    async with browser(world) as person:
        assert id_ not in (await person.open(other.request(VERIFIER))).text
        query = "&".join(f"{name}={value}" for name, value in other.request(VERIFIER, state="x").items())
        assert (await person.http.get(f"/oauth2/upstream/{id_}", params={"request": query})).status_code == 404
        assert opened(await person.http.get(provider.log_in(await sent(person, app, id_), "alice")))
        page = await person.open(other.request(VERIFIER))
        assert 'name="password"' in page.text


async def test_another_tenants_providers_are_not_found(app: App, provider: Provider, world: World) -> None:
    """S37: neither its terms nor its links."""
    id_ = await registered(app.tenant, provider)
    other = await world.tenant()
    async with other.caller() as http:
        for path in ("", "/identities"):
            assert (await http.get(f"/v1/identity-providers/{id_}{path}")).status_code == 404
        assert (await http.delete(f"/v1/identity-providers/{id_}")).status_code == 404
        body = {"provider": id_, "password": PASSWORD}
        assert (await http.post("/v1/me/identities", json=body)).status_code == 404


async def test_an_invitation_is_accepted_by_its_verified_address(
    app: App, provider: Provider, mailbox: Mailbox
) -> None:
    """Who the provider says has just this address joins with the roles of the invitation, without a password."""
    id_ = await registered(app.tenant, provider)
    email = somebody()
    token = (await invited(app.tenant, mailbox, email, "operator")).token
    async with browser(app.world) as person:
        offered = await person.http.post("/v1/invitations/providers", json={"token": token})
        assert offered.json()["items"] == [{"id": id_, "name": "Acme"}]
        for claims in ({"email": somebody(), "email_verified": True}, {"email": email}):
            wrong = await join(person.http, provider, token, id_, **claims)
            assert wrong.status_code == 403, wrong.text
        answer = await join(person.http, provider, token, id_, email=email, email_verified=True)
        assert (answer.status_code, "You have joined Broker" in answer.text) == (200, True), answer.text
        assert (await join(person.http, provider, token, id_)).status_code == 403
    assert opened(await attempt(app, provider, id_, "ina"))
    assert "auth.identity.linked.v1" in [event["type"] for event in await app.world.outbox(app.tenant.id)]


async def join(http: httpx.AsyncClient, provider: Provider, token: str, id_: str, **claims: Any) -> httpx.Response:
    """Accept an invitation by a provider; returns the last answer."""
    begun = await http.post(
        "/v1/invitations/accept/upstream", json={"token": token, "provider": id_, "name": "Ina Invited"}
    )
    if begun.status_code != 200:
        return begun
    return await http.get(provider.log_in(begun.json()["location"], "ina", **claims))


Ending = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


async def _disabled(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    shown = await http.get(f"/v1/identity-providers/{id_}")
    left_out = ("id", "issuer", "revision", "created_at", "redirect_uri")
    body = {name: value for name, value in shown.json().items() if name not in left_out}
    headers = {"If-Match": shown.headers["etag"]}
    return await http.put(f"/v1/identity-providers/{id_}", json={**body, "enabled": False}, headers=headers)


async def _removed(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    return await http.delete(f"/v1/identity-providers/{id_}")


async def _unlinked(http: httpx.AsyncClient, _id: str) -> httpx.Response:
    (own,) = (await http.get("/v1/me/identities")).json()["items"]
    return await http.post(f"/v1/me/identities/{own['id']}/unlink")


async def _unlinked_by_another(http: httpx.AsyncClient, id_: str) -> httpx.Response:
    (one,) = (await http.get(f"/v1/identity-providers/{id_}/identities")).json()["items"]
    return await http.post(f"/v1/identity-providers/{id_}/identities/{one['id']}/unlink")


@pytest.mark.parametrize("end", [_disabled, _removed, _unlinked, _unlinked_by_another])
async def test_what_came_of_a_link_ends_with_it(app: App, provider: Provider, end: Ending) -> None:
    """S10: session, code and tokens are void within a second; what the password opened goes on."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    async with browser(app.world) as person, app.tenant.caller() as owner, app.world.client() as client:
        page = await person.http.get(provider.log_in(await sent(person, app, id_), "alice"))
        redeemed = await app.redeem(told(await person.submit(page, decision="allow"))["code"], VERIFIER)
        client.headers["Authorization"] = f"Bearer {redeemed.json()['access_token']}"
        assert (await client.get("/v1/me")).status_code == 200
        open_code = told(await person.open(app.request(VERIFIER)))["code"]
        assert (await end(owner, id_)).status_code in (200, 204)
        assert 'name="password"' in (await person.open(app.request(VERIFIER))).text
        assert (await app.redeem(open_code, VERIFIER)).status_code == 400
        for _ in range(50):
            if (status := (await client.get("/v1/me")).status_code) == 401:
                break
            await asyncio.sleep(0.02)
        assert status == 401
        assert (await owner.get("/v1/me")).status_code == 200
    assert not opened(await attempt_if_offered(app, provider, id_))


async def attempt_if_offered(app: App, provider: Provider, id_: str) -> httpx.Response:
    """Try to log in by a provider that may not be there any more."""
    async with browser(app.world) as person:
        query = "&".join(f"{name}={value}" for name, value in app.request(VERIFIER, state="x").items())
        begun = await person.http.get(f"/oauth2/upstream/{id_}", params={"request": query})
        if begun.status_code != 303:
            return begun
        return await person.http.get(provider.log_in(begun.headers["location"], "alice"))


async def policy(tenant: Tenant) -> None:
    """Ask for a second factor at every login of the tenant."""
    async with tenant.caller() as http:
        answer = await http.put("/v1/tenants/current/policy", json={"second_factor": "required"})
    assert answer.status_code == 200, answer.text


async def test_the_tenants_second_factor_is_asked_for(app: App, provider: Provider) -> None:
    """By default a provider's word on factors is not taken: the tenant's policy holds after its login as well."""
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME)
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "n", email=somebody(), email_verified=True, amr=["mfa"])
    assert (answer.status_code, opened(answer)) == (200, False)
    assert "Set up a second factor" in answer.text


TRUSTED: dict[str, tuple[dict[str, Any], bool]] = {
    "amr": ({"amr": ["pwd", "mfa"]}, True),
    "acr": ({"acr": "gold"}, True),
    "one factor": ({"amr": ["pwd"], "acr": "silver"}, False),
    "nothing said": ({}, False),
}


@pytest.mark.parametrize(("said", "enough"), TRUSTED.values(), ids=TRUSTED.keys())
async def test_a_trusted_provider_says_so_each_time(
    app: App, provider: Provider, said: dict[str, Any], *, enough: bool
) -> None:
    """Where its second factor is trusted, the login has to say that there was one."""
    trust = {"trusts_second_factor": True, "acr_values": ["gold"]}
    id_ = await registered(app.tenant, provider, **JUST_IN_TIME, **trust)
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "n", email=somebody(), email_verified=True, **said)
    assert opened(answer) == enough, answer.text


async def test_a_provider_plants_no_second_factor(app: App, provider: Provider) -> None:
    """S10: a factor counts in all tenants; who has a password sets their first one up with it, not by a tenant's provider."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    await policy(app.tenant)
    answer = await attempt(app, provider, id_, "alice")
    assert (answer.status_code, opened(answer)) == (409, False)
    assert "with your password once" in answer.text


async def test_a_disabled_user_stays_out(app: App, provider: Provider) -> None:
    """Who the tenant has shut out does not come in by its provider."""
    id_ = await registered(app.tenant, provider)
    user, email = await app.tenant.user("viewer")
    await linked(app.tenant, provider, id_, "uwe", email)
    async with app.tenant.caller() as http:
        await http.post(f"/v1/users/{user}/disable")
    answer = await attempt(app, provider, id_, "uwe")
    assert (answer.status_code, opened(answer)) == (403, False)


async def test_links_are_looked_after_in_a_browser(app: App, provider: Provider) -> None:
    """The account page links with the password, shows what is linked, and unlinks."""
    id_ = await registered(app.tenant, provider)
    async with browser(app.world) as person:
        await person.log_in(await person.open(app.request(VERIFIER)), app.tenant.email)
        page = await person.http.get("/account/identities")
        assert "linked to no identity provider" in page.text
        assert (await person.submit(page, provider=id_)).status_code == 422
        onward = await person.submit(page, provider=id_, password=PASSWORD)
        location = onward.text.partition('class="button" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "Linked" in (await person.http.get(provider.log_in(location, "alice"))).text
        shown = await person.http.get("/account/identities")
        assert "<strong>Acme</strong>" in shown.text
        await person.submit(shown)
    assert await identities(app.tenant, id_) == []


async def test_a_code_of_a_second_factor_confirms_as_well(app: App, provider: Provider) -> None:
    """Who has an authenticator app may show a code instead of the password; a wrong one links nothing."""
    id_ = await registered(app.tenant, provider)
    async with app.tenant.caller() as http:
        recovery = (await enrolled(http)).codes[0]
        wrong = await http.post("/v1/me/identities", json={"provider": id_, "code": "000000"})
        right = await http.post("/v1/me/identities", json={"provider": id_, "code": recovery})
        again = await http.post("/v1/me/identities", json={"provider": id_, "code": recovery})
    assert [answer.status_code for answer in (wrong, right, again)] == [401, 200, 401]


async def test_of_many_ways_back_one_counts(app: App, provider: Provider) -> None:
    """S10: the same callback ten times at once, in one browser, opens one session."""
    id_ = await registered(app.tenant, provider)
    await linked(app.tenant, provider, id_, "alice")
    async with browser(app.world) as person:
        way = provider.log_in(await sent(person, app, id_), "alice")
        answers = await asyncio.gather(*(person.http.get(way) for _ in range(10)))
    assert sorted(opened(answer) for answer in answers) == [False] * 9 + [True]
