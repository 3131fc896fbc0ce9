"""How the job server behaves when jobs and forkservers die."""

import asyncio
import os
import signal
import statistics
import sys
import time

import pytest
import structlog

from libs.common.jail import (
    ConfinementError,
    JobCrashed,
    JobFailed,
    JobServer,
    JobServerLost,
    Limits,
    confine,
    fault_of,
)


async def test_a_job_answers(jobs: JobServer) -> None:
    """What the job returns comes back as it was."""
    value = {"text": "ä", "number": 1.5, "none": None, "list": [1, 2]}
    assert await jobs.run({"act": "echo", "value": value}) == value


async def test_large_jobs_arrive(jobs: JobServer) -> None:
    """A job is not bounded by the size of a packet."""
    assert len(await jobs.run({"act": "echo", "value": "x" * 3_000_000})) == 3_000_000


async def test_many_jobs_at_once(jobs: JobServer) -> None:
    """Each of many jobs gets its own answer."""
    values = range(50)
    assert await asyncio.gather(*(jobs.run({"act": "echo", "value": value}) for value in values)) == list(values)


async def test_an_exception_comes_back_by_name(jobs: JobServer) -> None:
    """What the job raises is told by class name and message."""
    with pytest.raises(JobFailed) as failure:
        await jobs.run({"act": "raise", "message": "no"})
    assert (failure.value.kind, failure.value.message) == ("ValueError", "no")


async def test_where_our_own_code_failed_is_logged_and_not_on_what(jobs: JobServer) -> None:
    """The log has the kind and the lines under the name that people are told; the message, which may be data, is not there."""
    with pytest.raises(JobFailed) as failure:
        await jobs.run({"act": "raise", "message": "secret"})
    with structlog.testing.capture_logs() as said:
        told = fault_of(failure.value, "try")
    [line] = said
    assert told is not None
    assert line["fault"] in told
    assert (line["event"], line["log_level"], line["kind"], line["work"]) == ("job.fault", "error", "ValueError", "try")
    assert line["trace"][-1].startswith("tests/jail/prisoners.py:")
    assert line["trace"][-1].endswith(" _raise")
    assert "secret" not in str(line)


async def test_too_much_of_something_is_no_fault_of_ours(jobs: JobServer) -> None:
    """Limits that were reached are told as such."""
    with pytest.raises(JobFailed) as failure:
        await jobs.run({"act": "big", "bytes": 2 << 20}, limits=Limits(result_bytes=1 << 20))
    assert fault_of(failure.value, "try") is None


async def test_a_crash_surfaces_and_the_next_job_works(jobs: JobServer) -> None:
    """A segmentation fault is told by its signal and harms nobody else."""
    with pytest.raises(JobCrashed) as crash:
        await jobs.run({"act": "crash"})
    assert crash.value.signal == signal.SIGSEGV
    assert await jobs.run({"act": "echo", "value": 1}) == 1


async def test_leaving_without_an_answer_is_a_crash(jobs: JobServer) -> None:
    """A job that exits by itself, even with success, has no result."""
    for code in (0, 70, 71):
        with pytest.raises(JobCrashed):
            await jobs.run({"act": "exit", "code": code})


async def test_a_killed_forkserver_is_replaced() -> None:
    """Jobs under a killed forkserver are lost and say so; the next job gets a new one."""
    async with JobServer("tests.jail.prisoners:run") as server:
        task = asyncio.create_task(server.run({"act": "sleep", "seconds": 60}))
        await asyncio.sleep(0.2)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        with pytest.raises(JobServerLost):
            await task
        assert await server.run({"act": "echo", "value": 2}) == 2
        assert server.pid != first


async def test_an_entry_that_is_not_there_is_told() -> None:
    """A forkserver that cannot import its entry says why."""
    with pytest.raises(JobServerLost, match="no_such_module"):
        async with JobServer("no_such_module:run"):
            pass


async def test_closing_ends_the_forkserver() -> None:
    """After leaving the context the forkserver is gone."""
    async with JobServer("tests.jail.prisoners:run") as server:
        pid = server.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_unconfined_means_not_run(jobs: JobServer) -> None:
    """Where a layer cannot be put on the job function is never called."""
    with pytest.raises(ConfinementError):
        await jobs.run({"act": "echo", "value": 1}, limits=Limits(open_files=-5))


def test_a_process_with_threads_is_refused() -> None:
    """Landlock would bind one thread only: confining a threaded process is refused."""
    pid = os.fork()
    if pid == 0:
        os._exit(_refusal_with_two_threads())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _refusal_with_two_threads() -> int:
    import threading  # noqa: PLC0415

    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
    try:
        confine(Limits())
    except ConfinementError as error:
        return 0 if "threads" in str(error) else 1
    return 2


async def test_a_warm_job_is_quick(jobs: JobServer) -> None:
    """A confined job costs milliseconds, not the start of an interpreter that imports what jobs need: in turns, an eighth of one at most."""
    shares = []
    for _ in range(20):
        start = time.perf_counter()
        await jobs.run({"act": "echo", "value": 1})
        ended = time.perf_counter()
        await (await asyncio.create_subprocess_exec(sys.executable, "-c", "import duckdb, pyarrow")).wait()
        shares.append((ended - start) / (time.perf_counter() - ended))
    assert statistics.median(shares) < 1 / 8
