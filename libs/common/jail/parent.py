"""The asyncio side of one forkserver process."""

import asyncio
import itertools
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from libs.common.jail import wire
from libs.common.jail.errors import JobServerLost

_START_SECONDS = 60.0
_LAST_WORDS_SECONDS = 2.0
_ROOT = Path(__file__).parents[3]

_ENVIRONMENT = {
    "PYTHONPATH": str(_ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # allocators and kernels that start threads at import would make forking unsafe
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a forkserver is started with."""

    entry: str
    preload: tuple[str, ...]
    warm: str | None
    readable: tuple[str, ...]
    rehearsal: str | None = None
    spares: int = 0


class Parent:
    """One forkserver: its process, its socket and the jobs that wait for its reports."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.Lock()
        self.alive = True
        asyncio.get_running_loop().add_reader(control, self._listen)

    @classmethod
    async def start(cls, settings: Settings) -> Self:
        """Start a forkserver and wait until it is warm.

        Raises:
            JobServerLost: when it cannot import what it should, or takes longer than a minute.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = ("-m", "libs.common.jail.forkserver", str(theirs.fileno()), json.dumps(asdict(settings)))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                stdout=DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
        ours.setblocking(False)
        parent = cls(process, ours)
        try:
            await asyncio.wait_for(parent._ready, _START_SECONDS)
        except BaseException as error:
            await parent.close()
            if isinstance(error, TimeoutError):
                raise JobServerLost(f"the forkserver was not ready after {_START_SECONDS:.0f} s") from error
            raise
        return parent

    @property
    def pid(self) -> int:
        """The forkserver's process id."""
        return self._process.pid

    async def fork(self, descriptors: Sequence[int], *, writable: int, wall: float) -> dict[str, Any]:
        """Have one child forked that gets `descriptors`, and return the report on its end.

        Raises:
            JobServerLost: when the forkserver dies before it reports.
        """
        number = next(self._numbers)
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        try:
            await self._send({"job": number, "writable": writable, "wall": wall}, descriptors)
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await self._stop(number, done)
            raise
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the forkserver and whatever it runs."""
        self._lose("the job server was closed")
        try:
            await asyncio.wait_for(self._process.wait(), _LAST_WORDS_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _stop(self, number: int, done: asyncio.Future[dict[str, Any]]) -> None:
        with suppress(JobServerLost, TimeoutError):
            await self._send({"kill": number}, ())
            await asyncio.wait_for(done, _LAST_WORDS_SECONDS)

    async def _send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        async with self._sending:
            while True:
                if not self.alive:
                    raise JobServerLost("the forkserver is gone")
                try:
                    socket.send_fds(self._control, [wire.pack(message)], list(descriptors))
                except BlockingIOError:
                    await self._writable()
                except OSError as error:
                    self._lose(f"the forkserver is gone: {error.strerror}")
                else:
                    return

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._control, _resolve, ready)
        try:
            await ready
        finally:
            loop.remove_writer(self._control)

    def _listen(self) -> None:
        try:
            received = wire.receive(self._control)
        except BlockingIOError:
            return
        if received is None:
            self._lose("the forkserver died")
            return
        message, descriptors = received
        for descriptor in descriptors:
            os.close(descriptor)
        self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "done" in message:
            done = self._waiting.get(message["done"])
            if done is not None and not done.done():
                done.set_result(message)
        elif "broken" in message:
            self._lose(f"the forkserver did not start: {message['broken']}")
        else:
            _resolve(self._ready)

    def _lose(self, reason: str) -> None:
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        pending: list[asyncio.Future[Any]] = [self._ready, *self._waiting.values()]
        for waiting in pending:
            if not waiting.done():
                waiting.set_exception(JobServerLost(reason))
                waiting.exception()  # whoever waits still gets it; nobody waiting is no accident


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
