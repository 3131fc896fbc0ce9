"""`email_verified` is said only of who has shown that they read the address's mail (OpenID Connect Core, 5.1; S11)."""

import secrets
from typing import Any
from uuid import UUID

import httpx

from libs.common.context import utc_now
from services.auth import operator
from tests.auth.browsing import App, browser, register, told
from tests.auth.idp import Provider, Providers, linked, registered, sent
from tests.auth.mailbox import Mailbox
from tests.auth.test_code import claims_of
from tests.auth.test_email_change import ask, confirm
from tests.auth.test_invitations import accept, invited
from tests.auth.test_reset import ANOTHER, asked, reset
from tests.auth.test_signup import CONFIRM, sign_up, somebody, verify
from tests.auth.world import PASSWORD, Tenant, World

SCOPES = ["run:read", "openid", "profile", "email", "offline_access"]
ALL = "openid profile email offline_access"
VERIFIER = "v" * 50


async def tokens(app: App, email: str, scope: str = ALL, password: str = PASSWORD) -> dict[str, Any]:
    """Let a client have tokens of somebody."""
    verifier = secrets.token_urlsafe(48)
    async with browser(app.world) as person:
        page = await person.log_in(await person.open(app.request(verifier, scope=scope)), email, password)
        code = told(await person.submit(page, decision="allow"))["code"]
    found: dict[str, Any] = (await app.redeem(code, verifier)).json()
    return found


async def userinfo(app: App, access_token: str) -> dict[str, Any]:
    """Ask who is behind a token."""
    async with app.world.client() as http:
        answer = await http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {access_token}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def verified(app: App, email: str, password: str = PASSWORD) -> bool:
    """Say what a client is told of somebody's address."""
    given = await tokens(app, email, password=password)
    shown, said = await userinfo(app, given["access_token"]), claims_of(given["id_token"])
    assert (shown["email"], shown["email_verified"]) == (said["email"], said["email_verified"])
    assert said["email"] == email
    return bool(said["email_verified"])


async def test_an_address_that_somebody_else_wrote_down_is_not_verified(tenant: Tenant) -> None:
    """Neither an operator's owner nor a user whom an administrator added has shown anything."""
    app, (_, email) = await register(tenant, scopes=SCOPES), await tenant.user("viewer")
    for each in (tenant.email, email):
        await tenant.world.prove(each, proven=False)
    assert [await verified(app, each) for each in (tenant.email, email)] == [False, False]


async def test_signing_up_by_mail_verifies(world: World, mailbox: Mailbox) -> None:
    """Whoever makes the account has read the mail."""
    email = somebody()
    await sign_up(world, email)
    made = await verify(world, (await mailbox.newest(email, CONFIRM)).token)
    assert made.status_code == 201, made.text
    tenant = Tenant(world, UUID(made.json()["tenant_id"]), UUID(made.json()["user_id"]), email)
    assert await verified(await register(tenant, scopes=SCOPES), email)


async def test_an_invitation_verifies_whom_it_makes(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """It verifies an account from before as well, and takes it from whoever wrote the address down there."""
    app, email = await register(tenant, scopes=SCOPES), somebody()
    assert (await accept(world, (await invited(tenant, mailbox, email)).token)).status_code == 201
    assert await verified(app, email)
    elsewhere = await world.tenant()
    prepared = operator.NewPerson(somebody(), "Paul Prepared", PASSWORD)
    await operator.create_user(world.runtime.database, utc_now(), elsewhere.id, prepared, ["viewer"])
    token = (await invited(tenant, mailbox, prepared.email)).token
    assert (await accept(world, token, password=None)).status_code == 422
    assert (await accept(world, token, password=ANOTHER)).status_code == 201
    assert await verified(app, prepared.email, ANOTHER)


async def test_a_password_chosen_by_mail_verifies(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """The reset ends what others knew."""
    app = await register(tenant, scopes=SCOPES)
    await world.prove(tenant.email, proven=False)
    assert (await reset(world, await asked(world, mailbox, tenant.email))).status_code == 204
    assert await verified(app, tenant.email, ANOTHER)


async def test_a_changed_address_is_verified(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Its link came by the new address's mail."""
    app, email = await register(tenant, scopes=SCOPES), somebody()
    await world.prove(tenant.email, proven=False)
    await ask(tenant, email)
    assert await confirm(world, (await mailbox.newest(email, "Confirm your new e-mail address")).token) == 204
    assert await verified(app, email)


async def test_a_providers_word_counts_in_its_tenant(tenant: Tenant, world: World, idps: Providers) -> None:
    """As long as it is of the address that the person has; another tenant does not go by it."""
    app, provider = await register(tenant, scopes=SCOPES), idps.new()
    id_ = await registered(tenant, provider)
    await linked(tenant, provider, id_, "alice")
    await world.prove(tenant.email, proven=False)
    for claims, expected in (
        ({"email": tenant.email, "email_verified": True}, True),
        ({"email": tenant.email, "email_verified": False}, False),
        ({"email": somebody(), "email_verified": True}, False),
        ({"email": tenant.email, "email_verified": True}, True),
    ):
        given = await by_provider(app, provider, id_, **claims)
        assert claims_of(given["id_token"])["email_verified"] is expected
    other = await world.tenant()
    also = operator.NewPerson(tenant.email, "Olga Owner", PASSWORD)
    await operator.create_user(world.runtime.database, utc_now(), other.id, also, ["viewer"])
    assert not await verified(await register(other, scopes=SCOPES), tenant.email)


async def by_provider(app: App, provider: Provider, id_: str, **claims: Any) -> dict[str, Any]:
    """Let a client have tokens of somebody who comes by a provider."""
    async with browser(app.world) as person:
        there = await sent(person, app, id_, scope=ALL)
        page = await person.http.get(provider.log_in(there, "alice", **claims))
        if page.status_code == httpx.codes.SEE_OTHER and "code=" not in page.headers["location"]:
            page = await person.http.get(page.headers["location"])
        if page.status_code == httpx.codes.OK:
            page = await person.submit(page, decision="allow")
        answer = await app.redeem(told(page)["code"], VERIFIER)
    found: dict[str, Any] = answer.json()
    return found


async def test_a_scope_says_what_is_told(tenant: Tenant) -> None:
    """`profile`: the name; `email`: the address; `openid` alone: neither; again after a refresh (5.4, 12.2)."""
    app = await register(tenant, scopes=SCOPES)
    for scope, names in (
        ("openid", set()),
        ("openid profile", {"name"}),
        ("openid email", {"email", "email_verified"}),
        (ALL, {"name", "email", "email_verified"}),
    ):
        given = await tokens(app, tenant.email, scope)
        told_of = {"name", "email", "email_verified"}
        assert told_of & set(claims_of(given["id_token"])) == names
        assert told_of & set(await userinfo(app, given["access_token"])) == names
    renewed = (await app.token(grant_type="refresh_token", refresh_token=given["refresh_token"])).json()
    assert told_of & set(claims_of(renewed["id_token"])) == names
