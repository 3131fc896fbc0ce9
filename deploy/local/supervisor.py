"""Start programs and wait until they serve, restart the ones that crash, stop all of them in reverse."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.processes import Program, kill_group, spawn

Output = Callable[[str, str], None]
_GUARD = Path(__file__).with_name("guard.py")
_FIRST_DELAY, _LONGEST_DELAY, _STEADY_AFTER = 0.2, 10.0, 30.0
_STOP_GRACE = 10.0
_POLL = 0.02


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


class ChildFailedError(RuntimeError):
    """A program ended, or never served, where it had to serve."""


class Child:
    """One supervised program: the process that runs now, and the task that replaces it."""

    def __init__(self, program: Program, output: Output, guard: "Guard") -> None:
        self.program = program
        self._output = output
        self._guard = guard
        self._process: Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self.last_lines: deque[str] = deque(maxlen=20)
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The id of the process that runs now."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109 - reported as a sentence, not as a cancellation
        """Start the program and return once it serves.

        Raises:
            ChildFailedError: it ended first, or did not serve within `timeout` seconds.
        """
        process = await self._spawn()
        reader = asyncio.ensure_future(self._read(process))
        try:
            await asyncio.wait_for(self._until_ready(process), timeout)
        except TimeoutError:
            reader.cancel()
            raise ChildFailedError(f"{self.program.name} does not serve after {timeout:.0f} s") from None
        self._watcher = asyncio.create_task(self._watch(process, reader))

    async def stop(self) -> None:
        """Stop the program and everything in its session; a deaf one is killed after a grace time."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), _STOP_GRACE)
            except TimeoutError:
                self._output(self.program.name, f"does not stop within {_STOP_GRACE:.0f} s: killed")
        if process is not None:
            kill_group(process.pid, signal.SIGKILL)
            await process.wait()
            self._guard.forget(process.pid)
        if self._watcher is not None:
            await self._end_watcher(self._watcher)

    @staticmethod
    async def _end_watcher(watcher: "asyncio.Task[None]") -> None:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher

    async def _spawn(self) -> Process:
        self._process = await spawn(self.program)
        self._guard.remember(self._process.pid)
        return self._process

    async def _until_ready(self, process: Process) -> None:
        while not await self.program.ready():
            if process.returncode is not None:
                raise ChildFailedError(f"{self.program.name} ended with {_ending(process.returncode)}: {self._said()}")
            await asyncio.sleep(_POLL)

    def _said(self) -> str:
        return "\n".join(self.last_lines) or "it said nothing"

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - spawn always pipes it
        with contextlib.suppress(ValueError):  # a line longer than the pipe's limit
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                self.last_lines.append(line)
                self._output(self.program.name, line)

    async def _watch(self, process: Process, reader: "asyncio.Future[None]") -> None:
        loop = asyncio.get_running_loop()
        delay = _FIRST_DELAY
        while True:
            began = loop.time()
            code = await process.wait()
            await asyncio.wait([reader], timeout=1.0)
            self._guard.forget(process.pid)
            kill_group(process.pid, signal.SIGKILL)
            if self._stopping:
                return
            delay = _FIRST_DELAY if loop.time() - began > _STEADY_AFTER else delay
            self._output(self.program.name, f"ended with {_ending(code)}; starts again in {delay:.1f} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
            self.restarts += 1
            process = await self._spawn()
            reader = asyncio.ensure_future(self._read(process))


class Guard:
    """The helper process that outlives the launcher just long enough to stop its children."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the helper in a session of its own, so that Ctrl-C does not reach it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_GUARD), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    def remember(self, pid: int) -> None:
        """Put `pid` on the list of what must not outlive us."""
        self._say(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Take `pid` off the list."""
        self._say(f"-{pid}\n")

    async def stop(self) -> None:
        """End the helper; it kills whatever is still on its list."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    def _say(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.write(line.encode())


class Supervisor:
    """The children of one launcher, stopped in reverse order of their start."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._guard = Guard()
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        await self._guard.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._children:
            await self._children.pop().stop()
        await self._guard.stop()

    def child(self, name: str) -> Child:
        """Return the running child called `name`.

        Raises:
            KeyError: there is none.
        """
        found = {child.program.name: child for child in self._children}
        return found[name]

    async def start(self, *programs: Program, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - see Child.start
        """Start programs side by side and return once all of them serve.

        Raises:
            ChildFailedError: one of them did not.
        """
        wave = [Child(program, self._output, self._guard) for program in programs]
        self._children += wave
        for failure in await asyncio.gather(*(child.start(timeout) for child in wave), return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    def names(self) -> Iterable[str]:
        """Return the names of the children in the order of their start."""
        return [child.program.name for child in self._children]
