"""Children start, are replaced when they crash, and never outlive the launcher."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from deploy.local.child import ChildFailedError
from deploy.local.guard import survivors
from deploy.local.processes import Program, free_port, listens
from deploy.local.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('up', flush=True); time.sleep(60)"


def listener(port: int, name: str = "listener") -> Program:
    """Return a real program that listens on a port."""
    return Program(name=name, command=(sys.executable, "-c", LISTEN, str(port)), ready=partial(listens, port))


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> bool:
    """Wait for a condition, and say whether it came."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        if await condition():
            return True
        await asyncio.sleep(0.02)
    return False


async def gone(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_started_program_serves() -> None:
    """Start returns only once the program is ready, and what it says is passed on under its name."""
    said: list[tuple[str, str]] = []
    port = free_port()
    async with Supervisor(lambda name, line: said.append((name, line))) as supervisor:
        await supervisor.start(listener(port))
        assert await listens(port)
    assert ("listener", "up") in said
    assert not await listens(port)


async def test_a_crashed_program_is_said_and_replaced() -> None:
    """After SIGKILL the launcher names the signal and starts the program again."""
    said: list[str] = []
    port = free_port()
    async with Supervisor(lambda _name, line: said.append(line)) as supervisor:
        await supervisor.start(listener(port))
        first = supervisor.child("listener").pid
        os.kill(first or 0, signal.SIGKILL)
        assert await eventually(lambda: _replaced(supervisor, first, port))
    assert any("SIGKILL" in line and "starts again" in line for line in said)


async def _replaced(supervisor: Supervisor, first: int | None, port: int) -> bool:
    return supervisor.child("listener").pid not in {None, first} and await listens(port)


async def test_a_program_that_cannot_start_is_an_error_with_its_words() -> None:
    """A first start that ends is not retried; the error carries what the program said."""
    broken = Program(name="broken", command=(sys.executable, "-c", "raise SystemExit('no such key')"), ready=_never)
    async with Supervisor(lambda _name, _line: None) as supervisor:
        with pytest.raises(ChildFailedError, match=r"broken ended with exit code 1:\nno such key"):
            await supervisor.start(broken)


async def test_a_program_that_never_serves_is_an_error() -> None:
    """A program that runs but does not serve is given up after the time allowed, and stopped."""
    idle = Program(name="idle", command=(sys.executable, "-c", "import time; time.sleep(60)"), ready=_never)
    async with Supervisor(lambda _name, _line: None) as supervisor:
        with pytest.raises(ChildFailedError, match="idle does not serve after 0 s"):
            await supervisor.start(idle, timeout=0.3)
        pid = supervisor.child("idle").pid or 0
    assert await gone(pid)


async def _never() -> bool:
    return False


async def test_children_see_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the launcher's environment does not reach a child that was not given it."""
    monkeypatch.setenv("REGENT_SECRET_OF_ANOTHER", "secret")
    said: list[str] = []
    port = free_port()
    show = f"import os; print(sorted(os.environ)); {LISTEN}"
    program = Program(
        name="shown",
        command=(sys.executable, "-c", show, str(port)),
        environment={"REGENT_OWN": "1"},
        ready=partial(listens, port),
    )
    async with Supervisor(lambda _name, line: said.append(line)) as supervisor:
        await supervisor.start(program)
    assert "REGENT_OWN" in said[0]
    assert "REGENT_SECRET_OF_ANOTHER" not in said[0]


@pytest.mark.parametrize("parent_signal", [True, False], ids=["both walls", "guard alone"])
async def test_nothing_survives_a_killed_launcher(*, parent_signal: bool) -> None:
    """SIGKILL of the launcher leaves no child and no grandchild, also where the kernel has no parent-death signal."""
    family = "import subprocess, sys, os; p = subprocess.Popen(['sleep', '60']); print(os.getpid(), p.pid, flush=True); p.wait()"
    script = textwrap.dedent(f"""
        import asyncio, sys
        from deploy.local import processes
        from deploy.local.supervisor import Supervisor
        if not {parent_signal}:
            processes._LIBC = None
        async def yes(): return True
        async def main():
            async with Supervisor(lambda n, l: print(l, flush=True)) as s:
                await s.start(processes.Program(name="family", command=(sys.executable, "-c", {family!r}), ready=yes))
                await asyncio.sleep(60)
        asyncio.run(main())
    """)
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert launcher.stdout is not None
    pids = [int(pid) for pid in (await launcher.stdout.readline()).split()]
    launcher.kill()
    await launcher.wait()
    assert len(pids) == 2
    for pid in pids:
        assert await eventually(partial(gone, pid)), f"{pid} survived"


def test_the_guard_forgets_what_ended() -> None:
    """Only processes that were announced and not taken back are stopped."""
    assert survivors(["+10\n", "+11\n", "-10\n"]) == {11}
