"""`JobServer`: confined jobs for asyncio programs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from libs.common.jail.connection import Report
from libs.common.jail.errors import JobServerLost
from libs.common.jail.exchange import Exchange
from libs.common.jail.limits import Limits
from libs.common.jail.parent import Parent
from libs.common.jail.remote import Remote
from libs.common.jail.settings import WarmParent

_DEFAULT = Limits()
_LOOK_SECONDS = 0.5


class JobServer:
    """Runs `entry` ("module:function") in a confined child per job, forked from a warm parent; see `WarmParent`.

    At most `slots` jobs run at a time; others wait. A parent that died is started again by the next job. The parent is
    a child of this process, or, with `JobServer.at`, somewhere else behind a socket.
    """

    def __init__(
        self,
        entry: str,
        *,
        preload: Sequence[str] = (),
        warm: str | None = None,
        readable: Sequence[str] = (),
        rehearsal: str | None = None,
        spares: int = 1,
        slots: int = 2,
    ) -> None:
        settings = WarmParent(entry, tuple(preload), warm, tuple(readable), rehearsal, spares)
        self._open: Callable[[], Awaitable[Parent | Remote]] = lambda: Parent.start(settings)
        self._eager = True
        self._slots = asyncio.Semaphore(slots)
        self._starting = asyncio.Lock()
        self._parent: Parent | Remote | None = None

    @classmethod
    def at(cls, directory: Path, name: str, *, slots: int = 2) -> Self:
        """Return a server whose warm parent listens as `name` in a jail's directory; see `host`.

        The jail may start later than this and may die at any time: jobs wait some seconds for it.
        """
        server = cls("", slots=slots)
        server._open = lambda: Remote.connect(directory, name)
        server._eager = False
        return server

    async def __aenter__(self) -> Self:
        if self._eager:
            await self._living()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parent is not None:
            await self._parent.close()

    @property
    def pid(self) -> int | None:
        """The parent's process id while it lives and is our child."""
        return self._parent.pid if self._parent is not None and self._parent.alive else None

    @property
    def alive(self) -> bool:
        """Whether a warm parent is there now."""
        return self._parent is not None and self._parent.alive

    async def keep(self) -> None:
        """Look for a warm parent whenever there is none, until cancelled."""
        while True:
            try:
                await self._living()
            except JobServerLost:
                continue
            await asyncio.sleep(_LOOK_SECONDS)

    async def run(
        self,
        job: dict[str, Any],
        files: Sequence[int] = (),
        *,
        writable: Sequence[int] = (),
        limits: Limits = _DEFAULT,
        witness: Callable[[Report], None] | None = None,
    ) -> Any:
        """Run one job and return its answer.

        The job function gets `job` and the descriptors `files` + `writable` (numbers of its own). It may open what they
        stand for again through /proc/self/fd; directories among them open what lies below. The caller keeps its own
        descriptors and closes them. Cancelling kills the job. `witness` is told how the process ended and what it took.

        Raises:
            JobFailed: the function raised. JobCrashed: its process died. JobTimedOut: wall time was over.
            ConfinementError: the jail could not be closed; the function was not called.
            JobServerLost: the parent died under the job, or is away. The job may be run again.
        """
        async with self._slots:
            parent = await self._living()
            with Exchange(job, limits) as exchange:
                descriptors = (*exchange.descriptors, *files, *writable)
                report = await parent.fork(descriptors, writable=len(writable), wall=limits.wall_seconds)
                if witness is not None:
                    witness(report)
                return exchange.answer(report)

    async def _living(self) -> Parent | Remote:
        async with self._starting:
            if self._parent is None or not self._parent.alive:
                if self._parent is not None:
                    await self._parent.close()
                self._parent = await self._open()
            return self._parent
