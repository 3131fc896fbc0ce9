"""Who becomes a member by an identity provider: by an address that it vouches for and the terms or an invitation name."""

from typing import Any

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import totp
from services.auth.commands import factors
from services.auth.store import accounts
from tests.auth.browsing import App, browser
from tests.auth.idp import DOMAIN, JUST_IN_TIME, Provider, attempt, opened, registered
from tests.auth.mailbox import Mailbox
from tests.auth.test_invitations import invited
from tests.auth.test_signup import login, post, somebody
from tests.auth.world import PASSWORD

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
