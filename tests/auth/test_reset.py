"""A forgotten password is replaced by mail, and changed by who is logged in (S2, S10, S23)."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.database.transaction import Transaction
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from services.auth.store import factors
from tests.auth.mailbox import Mailbox
from tests.auth.test_signup import age_links, login, post, shown, somebody
from tests.auth.world import PASSWORD, PUBLIC_URL, Tenant, World

ANOTHER = "quite another battery staple"
RESET, CHANGED = "Choose another password", "Your password was changed"


async def forgot(world: World, email: str) -> httpx.Response:
    return await post(world, "/v1/password/forgot", {"email": email})


async def reset(world: World, token: str, password: str = ANOTHER) -> httpx.Response:
    return await post(world, "/v1/password/reset", {"token": token, "password": password})


async def asked(world: World, mailbox: Mailbox, email: str) -> str:
    """Ask for a link and return its token."""
    before = len(mailbox.to(email))
    assert (await forgot(world, email)).status_code == 202
    return (await mailbox.wait(email, before + 1))[-1].token


async def refused(world: World, access_token: str) -> bool:
    """Say whether an access token is refused within two seconds."""
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {access_token}"
        for _ in range(100):
            if (await http.get("/v1/me")).status_code == 401:
                return True
            await asyncio.sleep(0.02)
    return False


async def refresh(world: World, token: str) -> int:
    async with world.client() as http:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return (await http.post("/oauth2/token", data=form)).status_code


async def test_the_mail_arrives_and_the_old_password_dies(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S23: the link comes by mail; afterwards the new password works and the old one does not."""
    token = await asked(world, mailbox, tenant.email)
    assert (await mailbox.newest(tenant.email, RESET)).link.startswith(f"{PUBLIC_URL}/account/reset#pw_")
    assert (await reset(world, token)).status_code == 204
    assert (await login(world, tenant.email, PASSWORD)).status_code == 401
    assert (await login(world, tenant.email, ANOTHER)).status_code == 200


async def test_a_reset_ends_every_login_in_every_tenant(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: access and refresh tokens of the person are void in all tenants; other people's go on."""
    second = await world.tenant()
    person = operator.NewPerson(tenant.email, "Olga Owner", PASSWORD)
    await operator.create_user(world.runtime.database, utc_now(), second.id, person, ["viewer"])
    held = []
    for where in (tenant, second):
        body = {"email": tenant.email, "password": PASSWORD, "tenant": str(where.id)}
        held.append((await post(world, "/v1/login", body)).json())
    bystander = await second.login()
    assert (await reset(world, await asked(world, mailbox, tenant.email))).status_code == 204
    for tokens in held:
        assert await refused(world, tokens["access_token"])
        assert await refresh(world, tokens["refresh_token"]) == 400
    assert await refresh(world, bystander["refresh_token"]) == 200
    for where in (tenant, second):
        said = [event["type"] for event in await world.outbox(where.id)]
        assert "auth.account.password.v1" in said
        assert "auth.grant.revoked.v1" in said


async def test_the_owner_is_told(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: whoever changed it, the owner of the address hears of it."""
    await reset(world, await asked(world, mailbox, tenant.email))
    mail = await mailbox.newest(tenant.email, CHANGED)
    assert ANOTHER not in mail.message.as_string()


async def test_known_and_unknown_addresses_look_the_same(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S10: the same status, body and headers; mail goes to whom there is only."""
    unknown = somebody()
    answers = [await forgot(world, tenant.email), await forgot(world, unknown)]
    assert shown(answers[0]) == shown(answers[1])
    await mailbox.newest(tenant.email, RESET)
    assert mailbox.to(unknown) == []


@pytest.mark.parametrize("path", ["/v1/password/forgot", "/v1/signup"])
async def test_known_and_unknown_addresses_take_the_same_steps(
    world: World, tenant: Tenant, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10: the same statements are run for both, so time tells nothing."""
    steps: list[str] = []
    for name in ("row", "value", "execute"):
        original = getattr(Transaction, name)

        async def noted(self: Transaction, statement: Any, _original: Any = original, _name: str = name) -> Any:
            steps.append(f"{_name} {str(statement).split(' WHERE ')[0]}")
            return await _original(self, statement)

        monkeypatch.setattr(Transaction, name, noted)
    taken = []
    for email in (somebody(), tenant.email):
        body = {"email": email, **({"name": "N", "tenant_name": "T"} if path == "/v1/signup" else {})}
        steps.clear()
        assert (await post(world, path, body)).status_code == 202
        taken.append([step for step in steps if "account_link" in step or "identity" in step or "INTO mail" in step])
    assert len(taken[0]) == 4
    assert taken[0] == taken[1]


async def test_a_link_works_once(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: of five uses at once one changes the password."""
    token = await asked(world, mailbox, tenant.email)
    answers = await asyncio.gather(*(reset(world, token, f"{ANOTHER} {number}") for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [204, 403, 403, 403, 403]
    first = [answer.status_code for answer in answers].index(204)
    assert (await login(world, tenant.email, f"{ANOTHER} {first}")).status_code == 200
    for number in set(range(5)) - {first}:
        assert (await login(world, tenant.email, f"{ANOTHER} {number}")).status_code == 401


async def test_the_newest_link_wins(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: asking again ends the earlier link."""
    first = await asked(world, mailbox, tenant.email)
    second = await asked(world, mailbox, tenant.email)
    assert [(await reset(world, token)).status_code for token in (first, second)] == [403, 204]


async def test_a_link_expires_after_an_hour(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: an old mail opens nothing."""
    token = await asked(world, mailbox, tenant.email)
    await age_links(world, tenant.email, timedelta(hours=1))
    assert (await reset(world, token)).status_code == 403


async def test_three_an_hour_and_the_answer_stays(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: an address gets at most three such mails in an hour; the asker sees no difference."""
    answers = [shown(await forgot(world, tenant.email)) for _ in range(6)]
    assert [answer == answers[0] for answer in answers] == [True] * 6
    await mailbox.wait(tenant.email, 3)
    other = await world.tenant()
    await asked(world, mailbox, other.email)
    assert len(mailbox.to(tenant.email)) == 3


async def test_a_bad_password_leaves_the_link_usable(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Who mistypes may try again."""
    token = await asked(world, mailbox, tenant.email)
    assert (await reset(world, token, "short")).status_code == 422
    assert (await reset(world, token)).status_code == 204


async def test_a_reset_lets_a_locked_out_owner_in(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Who holds the mailbox is the owner: guesses of strangers no longer count."""
    for _ in range(6):
        await login(world, tenant.email, "wrong wrong wrong wrong")
    assert (await login(world, tenant.email)).status_code in (401, 429)
    assert (await reset(world, await asked(world, mailbox, tenant.email))).status_code == 204
    assert (await login(world, tenant.email, ANOTHER)).status_code == 200


async def test_a_sign_up_link_to_a_known_address_resets(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """Who forgot that they have an account gets into it by the link of the sign-up mail."""
    await post(world, "/v1/signup", {"email": tenant.email, "name": "N", "tenant_name": "T"})
    token = (await mailbox.newest(tenant.email, "You have an account already")).token
    assert (await reset(world, token)).status_code == 204
    assert (await login(world, tenant.email, ANOTHER)).status_code == 200


async def test_a_password_is_changed_by_who_is_logged_in(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """The current password is asked for; other logins end, this one stays, the owner is told."""
    other = await tenant.login()
    async with tenant.caller() as http:
        wrong = await http.post("/v1/password", json={"current": f"{PASSWORD}!", "password": ANOTHER})
        bad = await http.post("/v1/password", json={"current": PASSWORD, "password": "short"})
        done = await http.post("/v1/password", json={"current": PASSWORD, "password": ANOTHER})
        assert await refused(world, other["access_token"])
        assert (await http.get("/v1/me")).status_code == 200
    assert (wrong.status_code, wrong.json()["type"]) == (403, "urn:regent:problem:wrong-password")
    assert (bad.status_code, done.status_code) == (422, 204)
    assert (await login(world, tenant.email, ANOTHER)).status_code == 200
    await mailbox.newest(tenant.email, CHANGED)


async def test_a_changed_password_ends_open_links(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """A link that lies in a mailbox does not outlive the password that it was to replace."""
    token = await asked(world, mailbox, tenant.email)
    async with tenant.caller() as http:
        assert (await http.post("/v1/password", json={"current": PASSWORD, "password": ANOTHER})).status_code == 204
    assert (await reset(world, token, PASSWORD)).status_code == 403


async def test_a_login_between_its_two_steps_ends(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """What the old password began is not completed after a reset."""
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        expires = utc_now() + timedelta(minutes=5)
        await factors.add_pending(tx, (pending := os.urandom(32)), tenant.owner, tenant.id, expires)
    assert (await reset(world, await asked(world, mailbox, tenant.email))).status_code == 204
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        assert await factors.find_pending(tx, pending) is None


async def test_a_code_that_nobody_fetched_ends(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """What a browser allowed a client before the reset gives no token after it."""
    client, _ = await tenant.oauth_client("viewer")
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        await tx.connection.execute(
            "INSERT INTO authorization_code (tenant_id, sha256, client_id, user_id, redirect_uri, challenge, scope, "
            "auth_time, created_at, expires_at) VALUES ($1, $2, $3, $4, 'https://x.test', 'c', '{}', $5, $5, $6)",
            *(tenant.id, os.urandom(32), client, tenant.owner, utc_now(), utc_now() + timedelta(minutes=1)),
        )
    assert (await reset(world, await asked(world, mailbox, tenant.email))).status_code == 204
    async with world.runtime.database.transaction(Context(tenant.id, "user:test")) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM authorization_code") == 0


async def test_guessing_the_current_password_is_slow(world: World, tenant: Tenant) -> None:
    """S10: a stolen session is no way around the limit of guesses."""
    async with tenant.caller() as http:
        body = {"current": "wrong wrong wrong wrong", "password": ANOTHER}
        statuses = [(await http.post("/v1/password", json=body)).status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]


async def test_a_client_has_no_password(world: World, tenant: Tenant) -> None:
    """Only people have accounts."""
    id_, secret = await tenant.oauth_client("owner")
    token = (await world.token_for(id_, secret)).json()["access_token"]
    async with world.client() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        answer = await http.post("/v1/password", json={"current": PASSWORD, "password": ANOTHER})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:regent:problem:no-person")
