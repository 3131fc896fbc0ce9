"""What a confined job cannot use up."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.common.jail import MIB, JobCrashed, JobFailed, JobServer, JobTimedOut, Limits


async def test_memory_bomb_is_refused(jobs: JobServer) -> None:
    """Asking for more memory than the limit fails in the job, and only there."""
    with pytest.raises(JobFailed) as failure:
        await jobs.run({"act": "memory", "bytes": 3000 * MIB}, limits=Limits(address_space=2048 * MIB))
    assert failure.value.kind == "MemoryError"


async def test_busy_loop_ends_at_its_cpu_limit(jobs: JobServer) -> None:
    """A loop is killed by its CPU limit, also one that ignores the first signal."""
    for stubborn, killer in ((False, signal.SIGXCPU), (True, signal.SIGKILL)):
        with pytest.raises(JobCrashed) as crash:
            await jobs.run({"act": "spin", "stubborn": stubborn}, limits=Limits(cpu_seconds=1))
        assert crash.value.signal == killer


async def test_wall_time_is_hard(jobs: JobServer) -> None:
    """A job that waits is killed when its wall time is over."""
    start = time.monotonic()
    with pytest.raises(JobTimedOut):
        await jobs.run({"act": "sleep", "seconds": 60}, limits=Limits(wall_seconds=0.3))
    assert time.monotonic() - start < 30


async def test_cancelling_kills_the_job(jobs: JobServer) -> None:
    """A cancelled job is dead when the cancellation returns."""
    before = _descendants(jobs)
    task = asyncio.create_task(jobs.run({"act": "sleep", "seconds": 60}))
    await _until(lambda: _descendants(jobs) != before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _descendants(jobs) == before


async def test_jobs_start_no_processes(jobs: JobServer) -> None:
    """A job cannot fork, so it leaves nothing behind."""
    with pytest.raises(JobFailed, match="PermissionError"):
        await jobs.run({"act": "breed"})
    await _until(lambda: _descendants(jobs) == set())


async def test_files_cannot_grow_past_their_limit(jobs: JobServer, tmp_path: Path) -> None:
    """Writing past the file size limit fails."""
    with (tmp_path / "out").open("w+b") as file:
        job = {"act": "fill", "bytes": 4 * MIB}
        await jobs.run(job, writable=[file.fileno()], limits=Limits(file_size=MIB))
        assert os.fstat(file.fileno()).st_size == MIB


async def test_answers_have_a_largest_size(jobs: JobServer) -> None:
    """An answer above its limit is not read."""
    with pytest.raises(JobFailed, match="ResultTooLarge"):
        await jobs.run({"act": "big", "bytes": 2 * MIB}, limits=Limits(result_bytes=MIB))


def _descendants(jobs: JobServer) -> set[int]:
    children: dict[int, set[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(fields[1]), set()).add(int(entry.name))
    found: set[int] = set()
    todo = {jobs.pid}
    while todo:
        todo = set().union(*(children.get(pid or 0, set()) for pid in todo))
        found |= todo
    return found


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [100, 250])
async def test_a_job_gets_as_many_files_as_it_is_handed(jobs: JobServer, count: int) -> None:
    """None of them is lost on the way: a job would take the last ones that are left for its own."""
    memory = os.memfd_create("data")
    try:
        told = await jobs.run(
            {"act": "look_around"}, [memory] * (count - 1), writable=[memory], limits=Limits(open_files=512)
        )
    finally:
        os.close(memory)
    assert len(told["files"]) == count


async def test_more_files_than_can_be_handed_over_are_refused(jobs: JobServer) -> None:
    """A job that wants too many fails alone: to its server it was as if the parent had died, with everybody's jobs."""
    lives, other = jobs.lives, asyncio.create_task(jobs.run({"act": "nap", "seconds": 0.5, "value": 1}))
    await asyncio.sleep(0.1)
    memory = os.memfd_create("data")
    try:
        with pytest.raises(JobFailed, match="TooManyFiles") as failed:
            await jobs.run({"act": "echo", "value": 2}, [memory] * 251)
    finally:
        os.close(memory)
    assert failed.value.is_limit
    assert await other == 1
    assert jobs.lives == lives
