"""The asyncio side of a socket to a forkserver. Nothing that comes over it is believed: it may have been taken over."""

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from libs.common.jail import wire
from libs.common.jail.errors import JobServerLost, JobTimedOut
from libs.common.jail.limits import Limits
from libs.common.jail.report import Report

_KILL_SECONDS = 2.0
_SEND_SECONDS = 5.0
_GRACE_SECONDS = 5.0
_DYING_SECONDS = 60.0


class Connection:
    """One socket to a forkserver and the jobs that wait for its reports."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Report]] = {}
        self._dying: dict[int, Callable[[], None]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.Lock()
        self.alive = True
        asyncio.get_running_loop().add_reader(control, self._listen)

    async def ready(self, seconds: float) -> None:
        """Wait until the forkserver says that it is warm.

        Raises:
            JobServerLost: it says otherwise, or nothing for `seconds`.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), seconds)
        except TimeoutError as error:
            raise JobServerLost(f"the forkserver was not ready after {seconds:.0f} s") from error

    async def fork(
        self,
        descriptors: Sequence[int],
        *,
        writable: int,
        limits: Limits,
        gone: Callable[[], None],
        plain: bool = False,
    ) -> Report:
        """Have one child forked that gets `descriptors`, and return the report on its end.

        `plain` says that it is not to do its parent's job, but what every parent's children can do.
        `gone` is called once: when the process is no more, which is later, for its memory is freed after its last word; or
        when nobody can tell.

        Raises:
            JobServerLost: when the forkserver dies before it reports.
            JobTimedOut: it reports nothing well after the job's time; then the connection is given up.
        """
        number = next(self._numbers)
        done: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        wall, total = limits.wall_seconds, limits.total_size
        self._waiting[number], self._dying[number] = done, gone
        try:
            order = {"job": number, "writable": writable, "wall": wall, "total": total, "plain": plain}
            await self._send(order, descriptors)
        except BaseException:  # it was not sent, or nobody is there
            del self._waiting[number]
            self._release(number)
            raise
        try:
            return await asyncio.wait_for(asyncio.shield(done), wall + _GRACE_SECONDS)
        except TimeoutError:
            self.lose("the forkserver let a job overstay")
            raise JobTimedOut("the job ran out of wall time and nobody said that it ended") from None
        except asyncio.CancelledError:
            await self._stop(number, done)
            raise
        finally:
            self._waiting.pop(number, None)
            asyncio.get_running_loop().call_later(_DYING_SECONDS, self._require_gone, number)

    def _require_gone(self, number: int) -> None:
        if number in self._dying:
            self.lose("a job's process does not end")

    def _release(self, number: object) -> None:
        gone = self._dying.pop(number, None) if type(number) is int else None
        if gone is not None:
            gone()

    async def _stop(self, number: int, done: asyncio.Future[Report]) -> None:
        with suppress(JobServerLost, TimeoutError):
            await self._send({"kill": number}, ())
            await asyncio.wait_for(done, _KILL_SECONDS)

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
                    self.lose(f"the forkserver is gone: {os.strerror(error.errno or 0)}")
                else:
                    return

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._control, _resolve, ready)
        try:
            await asyncio.wait_for(ready, _SEND_SECONDS)
        except TimeoutError:
            self.lose("the forkserver takes no jobs")
        finally:
            if self.alive:
                loop.remove_writer(self._control)

    def _listen(self) -> None:
        try:
            message = wire.hear(self._control)
            if message is not None:
                self._take(message)
        except BlockingIOError:
            return
        except wire.MalformedError as error:
            self.lose(f"the forkserver talks nonsense: {error}")
        else:
            if message is None:
                self.lose("the forkserver died")

    def _take(self, message: dict[str, Any]) -> None:
        if "done" in message:
            number = message["done"]
            done = self._waiting.get(number) if type(number) is int else None
            if done is not None and not done.done():
                done.set_result(Report.of(message))
        elif "gone" in message:
            self._release(message["gone"])
        elif "broken" in message:
            self.lose(f"the forkserver did not start: {str(message['broken'])[:2000]}")
        else:
            _resolve(self._ready)

    def lose(self, reason: str) -> None:
        """Give the connection up: whatever waits for it is lost."""
        if not self.alive:
            return
        self.alive = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control)
        loop.remove_writer(self._control)
        self._control.close()
        pending: list[asyncio.Future[Any]] = [self._ready, *self._waiting.values()]
        for waiting in pending:
            if not waiting.done():
                waiting.set_exception(JobServerLost(reason))
                waiting.exception()  # whoever waits still gets it; nobody waiting is no accident
        for number in list(self._dying):
            self._release(number)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
