"""Work that arrives before the jail is open waits for it, not for the end of a lease."""

import asyncio

import pytest

from tests.validator.rounds import Rounds


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_validation_is_claimed_once_the_jail_is_open(rounds: Rounds, *, at_once: bool) -> None:
    """A poke that comes before the canaries were tried is kept, and takes no attempt away (S10)."""
    rounds.jail.barred = "the canaries have not been tried yet"
    running = asyncio.create_task(rounds.run(("T2", "XLON", "2"), at_once=at_once))
    try:
        async with asyncio.timeout(60):
            while not await rounds.fetch("SELECT FROM job"):  # noqa: ASYNC110 - it happens elsewhere
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert [row["attempts"] for row in await rounds.fetch("SELECT attempts FROM job")] == [0]
    finally:
        rounds.jail.barred = ""
    assert (await running).verdict["held"] == 0
    assert [row["attempts"] for row in await rounds.fetch("SELECT attempts FROM job")] == [1]


async def test_a_validation_can_be_taken_in_the_commit_that_queues_it(rounds: Rounds) -> None:
    """It is claimed once, goes on from there, and nobody else takes it (S10)."""
    first = await rounds.run(("T2", "XLON", "2"), at_once=True)
    assert first.verdict["held"] == 0
    rows = await rounds.fetch("SELECT status, attempts FROM job")
    assert [(row["status"], row["attempts"]) for row in rows] == [("done", 1)]
