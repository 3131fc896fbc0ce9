"""Signing up by e-mail: the address is confirmed before there is an account (S2, S10, S23)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth import opaque
from tests.auth.mailbox import Mailbox
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

CONFIRM, KNOWN = "Confirm your e-mail address", "You have an account already"


def somebody() -> str:
    return f"new-{uuid4().hex[:12]}@example.com"


async def post(world: World, path: str, body: Any, **headers: str) -> httpx.Response:
    """Ask without a token, from an address that nobody else has."""
    async with world.client() as http:
        return await http.post(path, json=body, headers=headers)


async def sign_up(world: World, email: str, **headers: str) -> httpx.Response:
    return await post(world, "/v1/signup", {"email": email, "name": "Nina New", "tenant_name": "New Broker"}, **headers)


async def verify(world: World, token: str, password: str = PASSWORD) -> httpx.Response:
    return await post(world, "/v1/signup/verify", {"token": token, "password": password})


async def login(world: World, email: str, password: str = PASSWORD) -> httpx.Response:
    return await post(world, "/v1/login", {"email": email, "password": password})


def shown(answer: httpx.Response) -> Any:
    """Return what of an answer could tell two askers apart."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    names = {name for name in answer.headers if name != "x-request-id"}
    return answer.status_code, body, names


async def age_links(world: World, email: str, by: timedelta) -> None:
    """Let an address's links grow older."""
    mark = world.runtime.extras["auth"].throttle.mark("account", email)
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        await tx.connection.execute(
            "UPDATE account_link SET expires_at = expires_at - $2::interval WHERE mark = $1", mark, by
        )


async def test_sign_up_verify_log_in(world: World, mailbox: Mailbox) -> None:
    """S23: before the link is used the login is refused; afterwards the person owns a tenant and logs in."""
    email = somebody()
    assert (await sign_up(world, email)).status_code == 202
    mail = await mailbox.newest(email, CONFIRM)
    assert (await login(world, email)).status_code == 401
    made = await verify(world, mail.token)
    assert made.status_code == 201, made.text
    tokens = await login(world, email)
    assert tokens.status_code == 200, tokens.text
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
        me = (await http.get("/v1/me")).json()
    assert (me["id"], me["email"], me["name"], me["roles"]) == (made.json()["user_id"], email, "Nina New", ["owner"])
    assert me["tenant"] == {"id": made.json()["tenant_id"], "name": "New Broker"}
    said = [event["type"] for event in await world.outbox(UUID(made.json()["tenant_id"]))]
    assert said[:2] == ["auth.tenant.created.v1", "auth.user.created.v1"]


async def test_known_and_unknown_addresses_look_the_same(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S10: sign-up answers alike; the owner of a known address learns of it by mail, and nobody else."""
    unknown = somebody()
    answers = [await sign_up(world, unknown), await sign_up(world, tenant.email)]
    assert shown(answers[0]) == shown(answers[1])
    assert (await mailbox.newest(tenant.email, KNOWN)).link.startswith(f"{PUBLIC_URL}/account/reset#pw_")
    await mailbox.newest(unknown, CONFIRM)
    assert [mail.subject for mail in mailbox.to(tenant.email)] == [KNOWN]


async def test_links_come_from_the_configuration(world: World, mailbox: Mailbox) -> None:
    """S2: no header decides where a link leads; the token stands in the fragment."""
    email = somebody()
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    await sign_up(world, email, **forged)
    mail = await mailbox.newest(email, CONFIRM)
    assert mail.link.startswith(f"{PUBLIC_URL}/account/verify#sv_")
    assert "evil.example" not in mail.message.as_string()
    assert "?" not in mail.link


async def test_what_strangers_write_is_not_mailed(world: World, mailbox: Mailbox) -> None:
    """Nobody sends their own words to others under our name: neither name nor tenant stands in the mail."""
    email = somebody()
    words = {"email": email, "name": "Visit evil.example", "tenant_name": "http://evil.example/win"}
    await post(world, "/v1/signup", words)
    mail = await mailbox.newest(email, CONFIRM)
    assert "evil" not in mail.message.as_string()


async def test_a_link_works_once(world: World, mailbox: Mailbox) -> None:
    """S2: of five uses at once one makes an account; a later one none."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    answers = await asyncio.gather(*(verify(world, token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403, 403]
    assert (await verify(world, token)).json()["type"] == "urn:regent:problem:account-link"


async def test_the_newest_link_wins(world: World, mailbox: Mailbox) -> None:
    """S2: asking again ends the earlier link."""
    email = somebody()
    await sign_up(world, email)
    first = (await mailbox.newest(email, CONFIRM)).token
    await sign_up(world, email)
    second = (await mailbox.wait(email, 2))[1].token
    assert [(await verify(world, token)).status_code for token in (first, second)] == [403, 201]


async def test_a_link_expires(world: World, mailbox: Mailbox) -> None:
    """S2: after a day the link is dead."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    await age_links(world, email, timedelta(hours=24))
    assert (await verify(world, token)).status_code == 403


async def test_a_bad_password_leaves_the_link_usable(world: World, mailbox: Mailbox) -> None:
    """Who mistypes may try again."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    refused = await verify(world, token, "short")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "/password")
    assert (await verify(world, token)).status_code == 201


async def test_a_token_is_kept_as_its_hash_only(world: World, mailbox: Mailbox) -> None:
    """S2, S8: neither the token nor the address stands in a table of links and mails, in events or metrics."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    assert len(token) >= 40
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        found = await tx.connection.fetch(
            "SELECT l::text AS text, sealed FROM account_link l WHERE sha256 = $1", opaque.digest(token)
        )
        mails = await tx.connection.fetch("SELECT m::text AS text FROM mail m")
    assert len(found) == 1
    everything = str([*found, *mails, *await world.outbox(SYSTEM_TENANT)])
    assert token not in everything
    assert token.encode().hex() not in everything
    assert email not in everything
    assert email.encode().hex() not in everything


async def test_five_an_hour_and_the_answer_stays(world: World, mailbox: Mailbox) -> None:
    """S2: an address gets at most five such mails in an hour, however it is spelt; the asker sees no difference."""
    email = somebody()
    spellings = [email, email.upper(), f" {email} ", email.replace("n", "\uff4e", 1), email, email, email]
    answers = [shown(await sign_up(world, spelling)) for spelling in spellings]
    assert [answer == answers[0] for answer in answers] == [True] * 7
    await mailbox.wait(email, 5)
    after = somebody()
    await sign_up(world, after)
    await mailbox.newest(after, CONFIRM)
    assert len(mailbox.to(email)) == 5


async def test_a_network_has_a_limit(world: World) -> None:
    """S2: who asks for many addresses from one network is told to wait."""
    async with world.client("203.0.113.77") as http:
        body = {"name": "Nina", "tenant_name": "New"}
        statuses = [(await http.post("/v1/signup", json={"email": somebody(), **body})).status_code for _ in range(31)]
        forgot = await http.post("/v1/password/forgot", json={"email": somebody()})
    assert statuses == [202] * 30 + [429]
    assert forgot.status_code == 429
    assert 0 < int(forgot.headers["retry-after"]) <= 900


@pytest.mark.parametrize(
    "email", ["a@b.c\r\nBcc: x@y.z", "a,b@example.com", "<a@b.c>", "a@b.c x", "a@", "@b.c", "a\x00@b.c", "ab", "a@-b.c"]
)
@pytest.mark.parametrize("path", ["/v1/signup", "/v1/password/forgot"])
async def test_bad_addresses_are_refused_at_the_door(world: World, path: str, email: str) -> None:
    """S2: what could break a header or name two mailboxes is no address."""
    body = {"email": email, **({"name": "Nina", "tenant_name": "New"} if path == "/v1/signup" else {})}
    answer = await post(world, path, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "/email")


async def test_invented_tokens_are_counted(world: World) -> None:
    """Guessing tokens is as slow as guessing passwords."""
    async with world.client("203.0.113.78") as http:
        body = {"token": "sv_invented", "password": PASSWORD}
        statuses = [(await http.post("/v1/signup/verify", json=body)).status_code for _ in range(101)]
    assert statuses == [403] * 100 + [429]


async def test_an_address_that_got_an_account_meanwhile_keeps_it(world: World, mailbox: Mailbox) -> None:
    """A link from before never replaces the password of an account that came to be since."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    await (await world.tenant()).join(email)
    assert (await verify(world, token)).json()["type"] == "urn:regent:problem:user-exists"
    assert (await login(world, email)).status_code == 200


async def test_links_for_one_purpose_serve_no_other(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: a token from a sign-up resets nothing, and the other way round."""
    email = somebody()
    await sign_up(world, email)
    await post(world, "/v1/password/forgot", {"email": tenant.email})
    signup = (await mailbox.newest(email, CONFIRM)).token
    reset = (await mailbox.newest(tenant.email, "Choose another password")).token
    assert (await verify(world, reset)).status_code == 403
    for token in (signup, f"pw_{signup.removeprefix('sv_')}"):
        assert (await post(world, "/v1/password/reset", {"token": token, "password": PASSWORD})).status_code == 403
    for token in (signup, reset):
        assert (await post(world, "/v1/email/confirm", {"token": token})).status_code == 403
        body = {"token": token, "name": "N", "password": PASSWORD}
        assert (await post(world, "/v1/invitations/accept", body)).status_code == 403
    assert (await verify(world, signup)).status_code == 201


async def test_sign_up_can_be_closed(world: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who wants no strangers invites people instead."""
    closed = world.runtime.settings.model_copy(update={"open_signup": False})
    monkeypatch.setattr(world.runtime, "settings", closed)
    email = somebody()
    answer = await sign_up(world, email)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:regent:problem:signup-closed")
    assert mailbox.to(email) == []


async def test_expired_links_are_forgotten(world: World, mailbox: Mailbox) -> None:
    """Nothing about who asked for a link is kept for ever."""
    email = somebody()
    await sign_up(world, email)
    token = (await mailbox.newest(email, CONFIRM)).token
    await age_links(world, email, timedelta(days=3))
    for _ in range(200):
        async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test", utc_now())) as tx:
            left = await tx.connection.fetchval(
                "SELECT count(*) FROM account_link WHERE sha256 = $1", opaque.digest(token)
            )
        if left == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(left)
