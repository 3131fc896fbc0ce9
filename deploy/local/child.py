"""One supervised program: the process that runs now, and the task that replaces it when it crashes."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable

from deploy.local.processes import Program, kill_group, spawn

Output = Callable[[str, str], None]
"""Takes a program's name and one line that it said."""

_FIRST_DELAY, _LONGEST_DELAY, _STEADY_AFTER = 0.2, 10.0, 30.0
_STOP_GRACE = 8.0
_POLL = 0.02


class ChildFailedError(RuntimeError):
    """A program ended, or never served, where it had to serve."""


class Child:
    """A program under supervision; `on_spawn` and `on_end` are told the ids of its processes."""

    def __init__(
        self, program: Program, output: Output, on_spawn: Callable[[int], None], on_end: Callable[[int], None]
    ) -> None:
        self.program = program
        self.restarts = 0
        self._output = output
        self._on_spawn = on_spawn
        self._on_end = on_end
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """The id of the process that runs now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109 - reported as a sentence, not as a cancellation
        """Start the program and return once it serves; from then on a crash restarts it.

        Raises:
            ChildFailedError: it ended first, or did not serve within `timeout` seconds.
        """
        process = await self._spawn()
        try:
            await asyncio.wait_for(self._until_ready(process), timeout)
        except TimeoutError:
            reason = f"{self.program.name} does not serve after {timeout:.0f} s{await self._reason()}{self._words()}"
            raise ChildFailedError(reason) from None
        self._watcher = asyncio.create_task(self._watch(process))

    async def stop(self) -> None:
        """Stop the program and everything in its session; a deaf one is killed after a grace time."""
        await _cancelled(self._watcher)
        if self._process is None:
            return
        if self._process.returncode is None:
            await self._ask_to_stop(self._process)
        await self._clear_away(self._process)

    async def _ask_to_stop(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), _STOP_GRACE)
        except TimeoutError:
            self._output(self.program.name, f"does not stop within {_STOP_GRACE:.0f} s: killed")

    async def _clear_away(self, process: Process) -> None:
        kill_group(process.pid, signal.SIGKILL)
        await process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=1.0)
            await _cancelled(self._reader)
        self._on_end(process.pid)

    async def _spawn(self) -> Process:
        self._process = process = await spawn(self.program)
        self._on_spawn(process.pid)
        self._reader = asyncio.create_task(self._read(process))
        return process

    async def _until_ready(self, process: Process) -> None:
        while not await self.program.ready():
            if process.returncode is not None:
                await self._clear_away(process)
                raise ChildFailedError(f"{self.program.name} ended with {_ending(process.returncode)}{self._words()}")
            await asyncio.sleep(_POLL)

    async def _reason(self) -> str:
        return f", it says {await self.program.explain()}" if self.program.explain is not None else ""

    def _words(self) -> str:
        return ":\n" + "\n".join(self._said) if self._said else " and said nothing"

    async def _read(self, process: Process) -> None:
        if process.stdout is None:
            return
        with contextlib.suppress(ValueError):  # a line longer than the pipe's limit
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                self._said.append(line)
                self._output(self.program.name, line)

    async def _watch(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        delay, began = _FIRST_DELAY, loop.time()
        while True:
            code = await process.wait()
            await self._clear_away(process)
            delay = _FIRST_DELAY if loop.time() - began > _STEADY_AFTER else delay
            self._output(self.program.name, f"ended with {_ending(code)}; starts again in {delay:.1f} s")
            await asyncio.sleep(delay)
            delay, began = min(delay * 2, _LONGEST_DELAY), loop.time()
            self.restarts += 1
            process = await self._spawn()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


async def _cancelled(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
