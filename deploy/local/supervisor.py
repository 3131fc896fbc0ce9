"""Start programs and wait until they serve, restart the ones that crash, stop all of them in reverse."""

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.child import Child, Output
from deploy.local.processes import Program

_GUARD = Path(__file__).with_name("guard.py")


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
    """The children of one launcher, started and stopped in waves."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._guard = Guard()
        self._waves: list[list[Child]] = []

    async def __aenter__(self) -> Self:
        await self._guard.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._waves:
            await asyncio.gather(*(child.stop() for child in self._waves.pop()))
        await self._guard.stop()

    @property
    def children(self) -> dict[str, Child]:
        """The children by name, in the order of their start."""
        return {child.program.name: child for wave in self._waves for child in wave}

    def child(self, name: str) -> Child:
        """Return the child called `name`.

        Raises:
            KeyError: there is none.
        """
        return self.children[name]

    async def start(self, *programs: Program, timeout: float = 120.0) -> None:  # noqa: ASYNC109 - see Child.start
        """Start a wave of programs side by side and return once all of them serve.

        Raises:
            ChildFailedError: one of them did not.
        """
        wave = [Child(program, self._output, self._guard.remember, self._guard.forget) for program in programs]
        self._waves.append(wave)
        starting = [asyncio.create_task(child.start(timeout)) for child in wave]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)

    async def stop(self, name: str) -> None:
        """Stop one child for good; the others go on."""
        await self.child(name).stop()
        for wave in self._waves:
            wave[:] = [child for child in wave if child.program.name != name]
