"""Guessing passwords is slow, for one account and for one address (S10)."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth.store import attempts
from tests.auth.world import PASSWORD, Tenant, World

WRONG = "another password here"


async def guess(world: World, email: str, password: str = WRONG, address: str | None = None) -> httpx.Response:
    async with world.client(address) as http:
        return await http.post("/v1/login", json={"email": email, "password": password})


async def test_five_failures_close_an_account(tenant: Tenant, world: World) -> None:
    """The sixth try waits, the right password too, and says for how long (S10)."""
    for _ in range(5):
        assert (await guess(world, tenant.email)).status_code == 401
    refused = await guess(world, tenant.email, PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert refused.headers["content-type"] == "application/problem+json"


async def test_unknown_accounts_close_alike(world: World) -> None:
    """Whether an account exists does not show in when it is closed (S10)."""
    email = f"nobody-{uuid4().hex}@example.com"
    statuses = [(await guess(world, email)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_parallel_guesses_do_not_overshoot(tenant: Tenant, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty guesses at once at most five are verified (S10)."""
    passwords = world.runtime.extras["auth"].passwords
    verified = 0
    original = type(passwords).verify

    async def counted(self: object, password_hash: str | None, password: str) -> bool:
        nonlocal verified
        verified += 1
        right: bool = await original(self, password_hash, password)  # type: ignore[arg-type]
        return right

    monkeypatch.setattr(type(passwords), "verify", counted)
    answers = await asyncio.gather(*(guess(world, tenant.email) for _ in range(40)))
    assert verified == 5
    assert sum(answer.status_code == 401 for answer in answers) == 5


async def test_other_spellings_are_the_same_account(tenant: Tenant, world: World) -> None:
    """Case, spaces and full-width letters do not give more guesses (S10)."""
    for email in (
        tenant.email.upper(),
        f" {tenant.email} ",
        tenant.email.replace("o", "\uff4f"),
        tenant.email,
        tenant.email,
    ):
        assert (await guess(world, email)).status_code == 401
    assert (await guess(world, tenant.email, PASSWORD)).status_code == 429


async def test_success_resets_and_others_are_unaffected(tenant: Tenant, world: World) -> None:
    """Four failures and a success leave five failures again (S10)."""
    other = await world.tenant()
    for _ in range(4):
        await guess(world, tenant.email)
    assert (await guess(world, tenant.email, PASSWORD)).status_code == 200
    for _ in range(5):
        assert (await guess(world, tenant.email)).status_code == 401
    assert (await guess(world, other.email, PASSWORD)).status_code == 200


async def test_spraying_from_one_address_is_stopped(world: World) -> None:
    """A hundred failures over many accounts close the address, IPv6 by /64 (S10)."""
    throttle = world.runtime.extras["auth"].throttle
    bucket = throttle.mark("address", "2001:db8:1:2::/64")
    async with world.runtime.database.transaction(
        Context(SYSTEM_TENANT, "anonymous", utc_now() - timedelta(minutes=1))
    ) as tx:
        for _ in range(99):
            await attempts.add(tx, bucket, uuid4())
    statuses = [
        (await guess(world, f"{uuid4().hex}@example.com", address=f"2001:db8:1:2::{host}")).status_code
        for host in ("1", "2")
    ]
    assert statuses == [401, 429]
    assert (await guess(world, f"{uuid4().hex}@example.com", address="2001:db8:1:3::1")).status_code == 401


async def test_failures_are_events_without_addresses(tenant: Tenant, world: World) -> None:
    """A failure is announced in the person's tenant; an unknown address in the system tenant, as a keyed hash (S39)."""
    unknown = f"ghost-{uuid4().hex}@example.com"
    await guess(world, tenant.email)
    await guess(world, unknown)
    own = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.session.failed.v1"]
    assert [event["data"]["reason"] for event in own] == ["wrong-secret"]
    foreign = [event for event in await world.outbox(SYSTEM_TENANT) if event["type"] == "auth.session.failed.v1"]
    mark = world.runtime.extras["auth"].throttle.mark("account", unknown).hex()[:32]
    assert any(event["data"]["subject"] == f"account:{mark}" for event in foreign)
    assert unknown not in str(foreign)
