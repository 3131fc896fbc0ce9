"""Accounts are linked by who has just shown their password or a factor, never by an address."""

import asyncio
from typing import Any

from tests.auth.browsing import App, browser, register
from tests.auth.idp import JUST_IN_TIME, Provider, attempt, linked, opened, registered, sent
from tests.auth.mailbox import Mailbox
from tests.auth.test_second_factor import enrolled
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

VERIFIER = "v" * 50


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
