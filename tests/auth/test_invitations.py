"""People are invited into a tenant, with the account that they have or a new one (S2)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.common.context import Context
from services.auth.flows import limits
from tests.auth.mailbox import Mailbox, Received
from tests.auth.test_signup import login, post, somebody
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World


async def invite(tenant: Tenant, email: str, *roles: str, by: str | None = None) -> httpx.Response:
    async with tenant.caller(by) as http:
        return await http.post("/v1/invitations", json={"email": email, "roles": list(roles or ["viewer"])})


async def invited(tenant: Tenant, mailbox: Mailbox, email: str, *roles: str, by: str | None = None) -> Received:
    """Invite somebody and return the mail."""
    before = len(mailbox.to(email))
    answer = await invite(tenant, email, *roles, by=by)
    assert answer.status_code == 201, answer.text
    return (await mailbox.wait(email, before + 1))[-1]


async def accept(world: World, token: str, **changed: Any) -> httpx.Response:
    body = {"token": token, "name": "Ina Invited", "password": PASSWORD, **changed}
    return await post(world, "/v1/invitations/accept", {name: value for name, value in body.items() if value})


async def test_an_invitation_makes_an_account(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """The mail says who invites whereto; who accepts has the roles and logs in."""
    email = somebody()
    mail = await invited(tenant, mailbox, email, "operator")
    assert mail.subject == "You are invited to Broker"
    assert "Olga Owner invites you" in mail.plain
    assert mail.link.startswith(f"{PUBLIC_URL}/account/join#iv_")
    answer = await accept(world, mail.token)
    assert (answer.status_code, answer.json()["tenant_id"]) == (201, str(tenant.id)), answer.text
    async with tenant.caller(email) as http:
        me = (await http.get("/v1/me")).json()
    assert (me["id"], me["roles"], me["name"]) == (answer.json()["user_id"], ["operator"], "Ina Invited")
    said = [event["type"] for event in await world.outbox(tenant.id)]
    assert {"auth.invitation.created.v1", "auth.user.created.v1", "auth.invitation.accepted.v1"} <= set(said)
    assert email not in str(await world.outbox(tenant.id))


async def test_one_person_belongs_to_several_tenants(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Who has an account keeps its password and chooses the tenant at login."""
    other = await world.tenant()
    mail = await invited(tenant, mailbox, other.email)
    answer = await accept(world, mail.token, password=None)
    assert (answer.status_code, answer.json()["user_id"]) == (201, str(other.owner))
    asked = await login(world, other.email)
    assert asked.json()["type"] == "urn:regent:problem:choose-tenant"
    assert {each["id"] for each in asked.json()["tenants"]} == {str(tenant.id), str(other.id)}
    for where in (tenant, other):
        body = {"email": other.email, "password": PASSWORD, "tenant": str(where.id)}
        assert (await post(world, "/v1/login", body)).status_code == 200


async def test_an_invitation_never_changes_a_password(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """A password sent with the acceptance of somebody who has one is ignored."""
    other = await world.tenant()
    mail = await invited(tenant, mailbox, other.email)
    assert (await accept(world, mail.token, password="quite another battery staple")).status_code == 201
    assert (await login(world, other.email, "quite another battery staple")).status_code == 401


async def test_a_new_account_needs_a_good_password(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Without one the invitation stays open."""
    mail = await invited(tenant, mailbox, somebody())
    for password in (None, "short"):
        answer = await accept(world, mail.token, password=password)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "/password")
    assert (await accept(world, mail.token)).status_code == 201


async def test_an_invitation_works_once(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: of five uses at once one counts."""
    mail = await invited(tenant, mailbox, somebody())
    answers = await asyncio.gather(*(accept(world, mail.token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403, 403]


async def test_the_newest_invitation_wins(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Inviting again, perhaps with other roles, ends the earlier invitation."""
    email = somebody()
    first = await invited(tenant, mailbox, email, "owner")
    second = await invited(tenant, mailbox, email, "viewer")
    assert [(await accept(world, mail.token)).status_code for mail in (first, second)] == [403, 201]


async def test_an_invitation_is_listed_and_revoked(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """What was sent is seen without its token, and taken back."""
    email = somebody()
    mail = await invited(tenant, mailbox, email)
    async with tenant.caller() as http:
        (row,) = (await http.get("/v1/invitations")).json()["items"]
        assert (row["email"], row["state"], row["roles"]) == (email, "open", ["viewer"])
        assert mail.token not in str(row)
        revoked = await http.post(f"/v1/invitations/{row['id']}/revoke")
        again = await http.post(f"/v1/invitations/{row['id']}/revoke")
    assert (revoked.status_code, revoked.json()["state"], again.status_code) == (200, "revoked", 409)
    assert (await accept(world, mail.token)).status_code == 403


async def test_an_invitation_expires(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: after a week the link is dead."""
    mail = await invited(tenant, mailbox, somebody())
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        await tx.connection.execute("UPDATE invitation SET expires_at = expires_at - $1::interval", timedelta(days=7))
    assert (await accept(world, mail.token)).status_code == 403


async def test_nobody_invites_above_themselves(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """An administrator gives no ownership away; who may not write users invites nobody."""
    _, admin = await tenant.user("admin")
    _, viewer = await tenant.user("viewer")
    email = somebody()
    assert (await invite(tenant, email, "owner", by=admin)).status_code == 403
    assert (await invite(tenant, email, "viewer", by=viewer)).status_code == 403
    assert (await invite(tenant, email, "nothing")).status_code == 422
    assert mailbox.to(email) == []


async def test_who_is_here_already_is_not_invited(tenant: Tenant) -> None:
    """A member of the tenant needs no invitation."""
    assert (await invite(tenant, tenant.email)).json()["type"] == "urn:regent:problem:user-exists"


async def test_a_suspended_tenant_takes_nobody(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """An invitation opens no tenant that is shut."""
    mail = await invited(tenant, mailbox, somebody())
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        await tx.connection.execute("UPDATE tenant SET status = 'suspended'")
    assert (await accept(world, mail.token)).status_code == 403


async def test_an_address_gets_no_flood(tenant: Tenant) -> None:
    """S2: five invitations an hour to one address, from whatever tenants."""
    email = somebody()
    statuses = [(await invite(tenant, email)).status_code for _ in range(6)]
    assert statuses == [201] * 5 + [429]


async def test_a_tampered_token_opens_nothing(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S37: neither another tenant's id nor another invitation's in the token helps."""
    mail = await invited(tenant, mailbox, somebody())
    other = await world.tenant()
    theirs = await invited(other, mailbox, somebody())
    mixed = theirs.token[:26] + mail.token[26:]
    for token in (mixed, mail.token[:-4] + "AAAA", mail.token.removeprefix("iv_"), "iv_", "iv_\u00fc", "x" * 200):
        assert (await accept(world, token)).status_code == 403


async def test_another_tenants_invitation_is_not_found(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S37: its id shows and revokes nothing."""
    id_ = UUID((await invite(await world.tenant(), somebody())).json()["id"])
    async with tenant.caller() as http:
        assert (await http.get(f"/v1/invitations/{id_}")).status_code == 404
        assert (await http.post(f"/v1/invitations/{id_}/revoke")).status_code == 404


@pytest.mark.parametrize("email", ["a,b@example.com", "x@y\r\nBcc: z@example.com"])
async def test_bad_addresses_are_refused_at_the_door(tenant: Tenant, email: str) -> None:
    """S2: what could break a header is no address."""
    assert (await invite(tenant, email)).status_code == 422


async def test_a_tenant_is_no_sender_of_bulk_mail(
    tenant: Tenant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many invitations an hour and no more, however many addresses; another tenant's are not counted."""
    monkeypatch.setattr(limits, "TENANT", 3)
    addresses = [somebody() for _ in range(4)]
    answers = [await invite(tenant, email) for email in addresses]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert (await invite(await tenant.world.tenant(), addresses[-1])).status_code == 201
    assert len(await mailbox.wait(addresses[-1])) == 1
