"""Guessing is as slow at several instances as at one, and after all of them were started anew (S10)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from deploy.local import nats
from services.auth.passwords import Passwords
from tests.auth.mailbox import Mailbox
from tests.auth.test_throttle import guess, solve
from tests.auth.world import PASSWORD, Tenant, World, open_world


@asynccontextmanager
async def beside(world: World, bus: nats.Nats, box: Mailbox, folder: Path) -> AsyncIterator[World]:
    """Start another instance of the same service: the same database, bus and key ring."""
    async with open_world(world.databases, bus, folder, smtp_url=box.url) as other:
        yield other


@pytest.fixture
async def two(
    world: World, nats_server: nats.Nats, mailbox: Mailbox, tmp_path: Path
) -> AsyncIterator[tuple[World, World]]:
    async with beside(world, nats_server, mailbox, tmp_path) as other:
        yield world, other


async def test_failures_add_up(tenant: Tenant, two: tuple[World, World]) -> None:
    """Five failures, wherever each was made, close the account at both; both say for how long."""
    for turn in range(5):
        assert (await guess(two[turn % 2], tenant.email)).status_code == 401
    for instance in two:
        refused = await guess(instance, tenant.email, PASSWORD)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 900


async def test_guesses_at_both_at_once_do_not_overshoot(
    tenant: Tenant, two: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of forty guesses, half of them at each instance at once, at most five are verified."""
    verified, original = [], Passwords.verify

    async def counted(self: Passwords, password_hash: str | None, password: str) -> bool:
        verified.append(password)
        return await original(self, password_hash, password)

    monkeypatch.setattr(Passwords, "verify", counted)
    answers = await asyncio.gather(*(guess(two[turn % 2], tenant.email) for turn in range(40)))
    assert len(verified) == 5
    assert {answer.status_code for answer in answers} == {401, 429}


async def test_a_solution_counts_once_everywhere(tenant: Tenant, two: tuple[World, World]) -> None:
    """A challenge of one instance is good at the other, and then at none."""
    answers = [await guess(two[turn % 2], tenant.email) for turn in range(3)]
    solution = await solve(two[0], answers[-1])
    first = await guess(two[1], tenant.email, solution=solution)
    again = await guess(two[0], tenant.email, PASSWORD, solution=solution)
    kinds = [answer.json()["type"].rpartition(":")[2] for answer in (first, again)]
    assert kinds == ["login-failed", "challenge-required"]


@pytest.mark.chaos
async def test_a_restart_forgets_no_failure(
    tenant: Tenant, world: World, nats_server: nats.Nats, mailbox: Mailbox, tmp_path: Path
) -> None:
    """An instance that was started after the failures refuses like the one that is gone."""
    async with AsyncExitStack() as stack:
        gone = await stack.enter_async_context(beside(world, nats_server, mailbox, tmp_path / "1"))
        for _ in range(5):
            assert (await guess(gone, tenant.email)).status_code == 401
    async with beside(world, nats_server, mailbox, tmp_path / "2") as started:
        assert (await guess(started, tenant.email, PASSWORD)).status_code == 429
