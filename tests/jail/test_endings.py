"""How jobs end: a process that is done stops, is killed where it stands, and does nothing more."""

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path

import pytest

from libs.common.jail import JobCrashed, JobServer, JobTimedOut, Limits, Report
from libs.common.jail.families import stopped, threads_of, usage_so_far


async def test_nothing_is_written_after_the_answer(jobs: JobServer, tmp_path: Path) -> None:
    """Threads that a job leaves behind write no more once its answer is there, though its memory is still being freed."""
    for number in range(20):
        path = tmp_path / str(number)
        with path.open("wb+") as file:
            assert await jobs.run({"act": "write_on"}, writable=[file.fileno()])
            before = path.read_bytes()
            await asyncio.sleep(0.01)
            assert path.read_bytes() == before != b""


async def test_a_job_that_stops_before_its_answer_has_none(jobs: JobServer) -> None:
    """It is told as crashed at once, not when its time is over."""
    began = time.perf_counter()
    with pytest.raises(JobCrashed):
        await jobs.run({"act": "stop"})
    assert time.perf_counter() - began < 30


async def test_nothing_is_left_of_jobs_that_ended(jobs: JobServer) -> None:
    """Whoever stopped is killed and buried: no process stays, stopped or dead."""
    answers = await asyncio.gather(*(jobs.run({"act": "echo", "value": number}) for number in range(20)))
    assert answers == list(range(20))
    children = Path(f"/proc/{jobs.pid}/task/{jobs.pid}/children")
    async with asyncio.timeout(30):
        while children.read_text().split():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)
    assert jobs.alive


async def test_a_job_that_was_done_is_told_what_it_took(jobs: JobServer) -> None:
    """Processor time and memory of a process that stopped are those that it had used."""
    reports: list[Report] = []
    await jobs.run({"act": "echo", "value": 1}, witness=reports.append)
    assert reports[0].code == 0
    assert reports[0].cpu_seconds > 0
    assert reports[0].peak_rss > 1 << 20


def test_a_process_that_died_has_not_stopped() -> None:
    """A signal tells of both: who looks for stopped ones meets dead ones that are not buried yet, and goes on."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not stopped(pid)
    os.waitpid(pid, 0)


async def test_crashes_at_once_leave_the_forkserver_alive(jobs: JobServer) -> None:
    """Of jobs that crash side by side each is told as crashed, by the same forkserver."""
    pid = jobs.pid
    for _ in range(10):
        crashes = await asyncio.gather(*(jobs.run({"act": "crash"}) for _ in range(4)), return_exceptions=True)
        assert {type(crash) for crash in crashes} == {JobCrashed}
    assert jobs.pid == pid


async def test_nobody_waits_for_the_dying() -> None:
    """A job that was killed and takes long to die is told of, with what it used, and buried later."""
    reports: list[Report] = []
    async with JobServer("tests.jail.prisoners:run", preload=("tests.jail.impatient",)) as jobs:
        for _ in range(5):
            with pytest.raises(JobTimedOut):
                await jobs.run({"act": "spin"}, limits=Limits(wall_seconds=0.5), witness=reports.append)
        assert await jobs.run({"act": "echo", "value": 1}) == 1
        await test_nothing_is_left_of_jobs_that_ended(jobs)
    assert [(report.timed_out, report.code) for report in reports] == [(True, -9)] * 5
    assert all(0.0 < report.cpu_seconds < 5.0 for report in reports)


def test_a_process_calls_itself_what_it_likes() -> None:
    """A name that is no text, or looks like the end of one, is no trouble for whoever counts what it used."""
    for name in (b"\xff\xfe", b"a) R 1 1", b"\n) Z"):
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
            os.write(tell, b"1")
            signal.pause()
        os.read(told, 1)
        try:
            assert usage_so_far(pid).ru_maxrss > 0
            assert threads_of(pid) == 1
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert threads_of(pid) == 0


async def test_threads_are_few(jobs: JobServer) -> None:
    """A job that has more threads than any needs is killed, however small they are; one with many is not."""
    assert await jobs.run({"act": "gather_threads", "count": 200}) == 201
    began = time.perf_counter()
    with pytest.raises(JobCrashed) as crash:
        await jobs.run({"act": "gather_threads", "count": 2000}, limits=Limits(wall_seconds=60))
    assert crash.value.signal == signal.SIGKILL
    assert time.perf_counter() - began < 30
