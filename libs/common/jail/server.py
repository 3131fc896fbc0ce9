"""`JobServer`: confined jobs for asyncio programs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from libs.common.jail import canaries, wire
from libs.common.jail.endings import Observer, Watch
from libs.common.jail.errors import ConfinementError, JailError, JobCrashed, JobFailed, JobServerLost
from libs.common.jail.exchange import Exchange
from libs.common.jail.isolation import PORTABLE, REQUIRED, Isolation
from libs.common.jail.limits import Limits
from libs.common.jail.parent import Parent
from libs.common.jail.remote import Remote
from libs.common.jail.report import Report
from libs.common.jail.settings import WarmParent
from libs.common.jail.shares import Shares

_DEFAULT = Limits()
_MOST_FILES = wire.MOST_DESCRIPTORS - 3  # its request, result and proof go along
_LOOK_SECONDS, _PAUSE_SECONDS = 0.5, 0.05


class JobServer:
    """Runs `entry` ("module:function") in a confined child per job, forked from a warm parent; see `WarmParent`.

    At most `slots` jobs run at a time, or are there still when they have answered; others wait. A parent that died is started again by the next job. The parent is
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
        plain_spares: int = 0,
        slots: int = 2,
    ) -> None:
        settings = WarmParent(entry, tuple(preload), warm, tuple(readable), rehearsal, spares, plain_spares)
        self._open: Callable[[], Awaitable[Parent | Remote]] = lambda: Parent.start(settings)
        self._eager = True
        self._shares = Shares(slots)
        self._required = PORTABLE
        self._observe: Observer = lambda _: None
        self._starting = asyncio.Lock()
        self._parent: Parent | Remote | None = None
        self.lives = 0
        """How many warm parents there have been."""
        self.barred = ""
        """Why nothing but canaries is let in, if so; set by whoever looks at `problems`."""

    @classmethod
    def at(
        cls,
        directory: Path,
        name: str,
        *,
        slots: int = 2,
        shares: Shares | None = None,
        isolation: Isolation = "auto",
        observe: Observer | None = None,
    ) -> Self:
        """Return a server whose warm parent listens as `name` in a jail's directory; see `host`.

        The jail may start later than this and may die at any time: jobs wait some seconds for it. An answer counts only
        where the child had every layer of `isolation` on. `observe` is told of every job's end.
        """
        server = cls("")
        server._shares = shares or Shares(slots)
        server._required = REQUIRED[isolation]
        server._observe = observe or server._observe
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

    async def opening(self, seconds: float) -> None:
        """Wait until others than canaries are let in, at most so long: a jail that has just begun is tried first."""
        deadline = time.monotonic() + seconds
        while self.barred and time.monotonic() < deadline:  # noqa: ASYNC110 - whoever tries it says so in one word
            await asyncio.sleep(_PAUSE_SECONDS)

    async def run(
        self,
        job: dict[str, Any],
        files: Sequence[int] = (),
        *,
        writable: Sequence[int] = (),
        limits: Limits = _DEFAULT,
        witness: Callable[[Report], None] | None = None,
        owner: str | None = None,
        kind: str = "job",
        call: str = "job",
    ) -> Any:
        """Run one job and return its answer.

        The job function gets `job` and the descriptors `files` + `writable` (numbers of its own). It may open what they
        stand for again through /proc/self/fd; directories among them open what lies below. The caller keeps its own
        descriptors and closes them. Cancelling kills the job. `witness` is told how the process ended and what it took.
        `owner` is the tenant whose share it takes, `kind` what it is called in figures, `call` one of the children's
        own functions in place of their parent's.

        Raises:
            JobFailed: the function raised, wrote too much, or was to be handed too many files. JobCrashed: its process died. JobTimedOut: wall time was over.
            ConfinementError: the jail could not be closed; the function was not called.
            JobServerLost: the parent died under the job, or is away. The job may be run again.
            OverBudget: the owner's processor time is used up for now.
        """
        if self.barred and call != "canaries":
            raise ConfinementError(f"the jail is closed: {self.barred}")
        if len(files) + len(writable) > _MOST_FILES:  # the kernel would refuse them, as if nobody were at the other end
            raise JobFailed("TooManyFiles", f"more than {_MOST_FILES} cannot be handed over")
        async with self._shares.place(owner) as place:
            parent = await self._living()
            with Exchange(job, limits, call=call, required=self._required) as exchange, Watch(kind, owner) as watch:
                try:
                    descriptors = (*exchange.descriptors, *files, *writable)
                    report = await parent.fork(
                        descriptors, writable=len(writable), limits=limits, gone=place.lend(), plain=call != "job"
                    )
                    watch.report = report
                    if witness is not None:
                        witness(report)
                    self._shares.spend(owner, report.cpu_seconds)
                    if report.overfull:
                        raise JobFailed("SpillTooLarge", f"more than {limits.total_size} bytes were written to disk")
                    return exchange.answer(report)
                except JailError as error:
                    watch.error = error
                    raise
                finally:
                    self._observe(watch.ending(exchange))

    async def problems(self) -> list[str]:
        """Attack the jail from within and return what is wrong with it: nothing, where it holds.

        Raises:
            JailError: it cannot be tried now.
        """
        done = await self.run({}, call="canaries", kind="canary")
        expected = canaries.ATTACKS.keys()
        if not isinstance(done, dict) or done.keys() != expected:
            return ["canaries give no account"]
        spared = canaries.OF_FILES if "files" not in self._required else frozenset()
        found = [f"canary: could {name}" for name in expected if done[name] is not False and name not in spared]
        for name in canaries.DEADLY:
            try:
                await self.run({"name": name}, call="canaries", kind="canary")
            except JobCrashed as crash:
                if crash.signal == -canaries.ENDED:
                    continue
            found.append(f"canary: survived {name}")
        return found

    async def _living(self) -> Parent | Remote:
        async with self._starting:
            if self._parent is None or not self._parent.alive:
                if self._parent is not None:
                    await self._parent.close()
                self._parent = await self._open()
                self.lives += 1
            return self._parent
