"""Children forked ahead of their jobs: as confined as others, replaced, and no loss when they die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.jail import ConfinementError, JobCrashed, JobServer


@pytest.fixture
async def jobs() -> AsyncIterator[JobServer]:
    """Yield a server with a spare that is ready."""
    async with JobServer("tests.jail.prisoners:run", rehearsal="tests.jail.rehearsals:rehearse") as server:
        await _spare(server)
        yield server


async def test_a_job_gets_the_spare_and_the_next_one_another(jobs: JobServer) -> None:
    """The job runs in the process that waited for it; once nothing runs, a new spare waits."""
    first = await _spare(jobs)
    assert (await _look_around(jobs))["pid"] == first
    second = await _spare(jobs)
    assert (await _look_around(jobs))["pid"] == second != first


async def test_a_spare_is_confined_when_its_job_begins(jobs: JobServer, tmp_path: Path) -> None:
    """A job in a spare has its own files, no others, no environment, no network, and only what it was given."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    assert await jobs.run({"act": "read", "path": str(secret)}) == "PermissionError"
    await _spare(jobs)
    assert await jobs.run({"act": "bind"}) == "PermissionError"
    await _spare(jobs)
    with secret.open() as file:
        seen = await jobs.run({"act": "look_around"}, [file.fileno()])
    assert seen["environment"] == {}
    assert len(seen["files"]) == 1
    await _spare(jobs)
    with secret.open() as file:
        assert await jobs.run({"act": "reopen"}, [file.fileno()]) == ["x"]


async def test_a_spare_holds_as_few_descriptors_as_another_child(jobs: JobServer) -> None:
    """What the forkserver has open, other spares' sockets among it, is closed in a spare."""
    spare = await _look_around(jobs)
    async with JobServer("tests.jail.prisoners:run") as plain:
        other = await _look_around(plain)
    assert len(spare["open"]) == len(other["open"])


async def test_a_spare_that_died_is_not_missed(jobs: JobServer) -> None:
    """The job is done by a new child, and a new spare comes."""
    spare = await _spare(jobs)
    os.kill(spare, signal.SIGKILL)
    await asyncio.sleep(0.1)
    assert (await _look_around(jobs))["pid"] != spare
    assert await _spare(jobs) != spare


async def test_a_crash_in_a_spare_is_told(jobs: JobServer) -> None:
    """A job that crashes in a spare is told by its signal like any other."""
    with pytest.raises(JobCrashed) as crash:
        await jobs.run({"act": "crash"})
    assert crash.value.signal == signal.SIGSEGV
    assert (await _look_around(jobs))["pid"]


async def test_a_rehearsal_that_fails_costs_no_job() -> None:
    """Jobs run in children of their own where spares cannot be had."""
    async with JobServer("tests.jail.prisoners:run", rehearsal="tests.jail.rehearsals:fail_to_rehearse") as server:
        await asyncio.sleep(0.3)
        assert (await _look_around(server))["pid"]
        assert (await _look_around(server))["pid"]


async def test_a_plain_spare_is_kept_for_what_needs_no_rehearsal() -> None:
    """A job leaves it waiting; a check of the jail, as that of results, takes it."""
    rehearsal = "tests.jail.rehearsals:fail_to_rehearse"  # so that only a plain one can wait
    async with JobServer("tests.jail.prisoners:run", rehearsal=rehearsal, plain_spares=1) as server:
        plain = await _spare(server)
        assert (await _look_around(server))["pid"] != plain
        assert await _spare(server) == plain
        await server.run({}, call="canaries", kind="canary")
        assert await _spare(server) != plain


async def test_a_rehearsal_that_leaves_a_thread_is_refused_its_job() -> None:
    """Landlock would not bind that thread: the job is not run there."""
    async with JobServer(
        "tests.jail.prisoners:run", rehearsal="tests.jail.rehearsals:rehearse_with_a_thread"
    ) as server:
        await _spare(server)
        with pytest.raises(ConfinementError, match="threads"):
            await _look_around(server)


async def test_closing_ends_spares() -> None:
    """After leaving the context nothing of the server is left."""
    async with JobServer("tests.jail.prisoners:run", rehearsal="tests.jail.rehearsals:rehearse", spares=2) as server:
        spare = await _spare(server)
    async with asyncio.timeout(30):
        while Path(f"/proc/{spare}").exists():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


async def _look_around(server: JobServer) -> dict[str, Any]:
    seen: dict[str, Any] = await server.run({"act": "look_around"})
    return seen


async def _spare(server: JobServer) -> int:
    """Wait for a spare that has rehearsed; return its process."""
    async with asyncio.timeout(30):
        while True:
            for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
                if _waits(pid):
                    return int(pid)
            await asyncio.sleep(0.02)


def _waits(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # standard ones, its channel, the rules that it will be held by: it has closed what came along
        return state == "S" and len(os.listdir(f"/proc/{pid}/fd")) == 5  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):  # it was another job's child, and is gone by now
        return False
