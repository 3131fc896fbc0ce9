"""A place is free when there is memory for the next job: not when the last one has answered, but when it is gone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.jail import MIB, JobServer, JobServerLost, JobTimedOut, Limits
from libs.common.jail.shares import Shares

MUCH = {"act": "hold", "bytes": 1024 * MIB}
LIMITS = Limits(address_space=3072 * MIB, wall_seconds=60)


@pytest.fixture
async def single() -> AsyncIterator[JobServer]:
    async with JobServer("tests.jail.prisoners:run", slots=1) as server:
        yield server


async def test_the_next_job_begins_when_the_last_one_is_gone(single: JobServer) -> None:
    """A gigabyte takes longer to free than a child to start: the next one sees no process that still has it."""
    for _ in range(3):
        pid = await single.run({**MUCH, "seconds": 0}, limits=LIMITS)
        assert await single.run({"act": "see", "pid": pid}) is False


async def test_the_next_job_begins_when_an_overdue_one_is_gone(single: JobServer) -> None:
    """One that was killed is waited for like one that answered."""
    ending = asyncio.create_task(single.run({**MUCH, "seconds": 60}, limits=Limits(3072 * MIB, wall_seconds=2.0)))
    pid = await _child(single)
    with pytest.raises(JobTimedOut):
        await ending
    assert await single.run({"act": "see", "pid": pid}) is False


async def test_the_next_job_begins_when_a_cancelled_one_is_gone(single: JobServer) -> None:
    """One that nobody wants any more is waited for as well."""
    ending = asyncio.create_task(single.run({**MUCH, "seconds": 60}, limits=LIMITS))
    pid = await _child(single)
    await asyncio.sleep(2)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert await single.run({"act": "see", "pid": pid}) is False


async def test_a_lost_forkserver_keeps_no_places(single: JobServer) -> None:
    """Places of jobs whose forkserver died, or was never reached, are free again."""
    for _ in range(3):
        lost = asyncio.create_task(single.run({"act": "sleep", "seconds": 60}))
        await _child(single)
        assert single._parent is not None
        await single._parent.close()
        with pytest.raises(JobServerLost):
            await lost
    async with asyncio.timeout(30):
        assert await single.run({"act": "echo", "value": 1}) == 1


async def test_jobs_that_are_cancelled_early_keep_no_places(single: JobServer) -> None:
    """Whatever moment a job is cancelled at, its place comes back, once."""
    for number in range(40):
        task = asyncio.create_task(single.run({"act": "echo", "value": 1}))
        await asyncio.sleep(number / 4000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(single.run({"act": "echo", "value": one}) for one in range(5))) == list(range(5))
    assert single._shares._free <= 1


async def test_a_place_that_is_lent_is_held() -> None:
    """It is free when its holder and all to whom they lent it have left."""
    shares = Shares(1)
    async with shares.place("a") as place:
        left = place.lend()
    waiting = asyncio.create_task(_enter(shares))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    left()
    await waiting


async def _enter(shares: Shares) -> None:
    async with shares.place("b"):
        pass


async def _child(server: JobServer) -> int:
    found: list[str] = []
    async with asyncio.timeout(30):
        while not found:
            await asyncio.sleep(0.01)
            if server.pid is not None:
                found = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return int(found[0])
