"""`JobServer`: confined jobs for asyncio programs."""

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from libs.common.jail import child
from libs.common.jail.errors import ConfinementError, JobCrashed, JobFailed, JobTimedOut
from libs.common.jail.limits import Limits
from libs.common.jail.parent import Parent, Settings

_DEFAULT = Limits()


class JobServer:
    """Runs `entry` ("module:function") in a confined child per job, forked from a warm parent.

    `preload` names modules to import in the parent, `warm` a function ("module:function") to call there once; neither
    may leave a thread behind. `readable` are paths that jobs may read besides their files. At most `slots` jobs run at
    a time; others wait. A parent that died is started again by the next job.

    With a `rehearsal` ("module:function"), which does what jobs do with nothing of anybody's and leaves no thread and
    nothing else behind, up to `spares` children are forked while no job runs: they call it and wait for theirs. A spare
    takes one job, confined like any other child's after it was handed over, and costs some 10 MB.
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
        self._settings = Settings(entry, tuple(preload), warm, tuple(readable), rehearsal, spares)
        self._slots = asyncio.Semaphore(slots)
        self._starting = asyncio.Lock()
        self._parent: Parent | None = None

    async def __aenter__(self) -> Self:
        await self._living()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parent is not None:
            await self._parent.close()

    @property
    def pid(self) -> int | None:
        """The parent's process id while it lives."""
        return self._parent.pid if self._parent is not None and self._parent.alive else None

    async def run(
        self, job: dict[str, Any], files: Sequence[int] = (), *, writable: Sequence[int] = (), limits: Limits = _DEFAULT
    ) -> Any:
        """Run one job and return its answer.

        The job function gets `job` and the descriptors `files` + `writable` (numbers of its own). It may open what they
        stand for again through /proc/self/fd; directories among them open what lies below. The caller keeps its own
        descriptors and closes them. Cancelling kills the job.

        Raises:
            JobFailed: the function raised. JobCrashed: its process died. JobTimedOut: wall time was over.
            ConfinementError: the jail could not be closed; the function was not called.
            JobServerLost: the parent died under the job.
        """
        async with self._slots:
            parent = await self._living()
            with _Exchange(job, limits) as exchange:
                descriptors = (*exchange.descriptors, *files, *writable)
                report = await parent.fork(descriptors, writable=len(writable), wall=limits.wall_seconds)
                return exchange.answer(report)

    async def _living(self) -> Parent:
        async with self._starting:
            if self._parent is None or not self._parent.alive:
                if self._parent is not None:
                    await self._parent.close()
                self._parent = await Parent.start(self._settings)
            return self._parent


class _Exchange:
    """The three private descriptors of one job: request, result, and the pipe that proves confinement."""

    def __init__(self, job: dict[str, Any], limits: Limits) -> None:
        self._limit = limits.result_bytes
        self._request = os.memfd_create("request", os.MFD_CLOEXEC)
        self._result = os.memfd_create("result", os.MFD_CLOEXEC)
        self._proof, self._prove = os.pipe()
        os.set_blocking(self._proof, False)
        with os.fdopen(self._request, "wb", closefd=False) as request:
            request.write(json.dumps({"job": job, "limits": limits.to_dict()}).encode())
        self.descriptors = (self._request, self._result, self._prove)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (*self.descriptors, self._proof):
            os.close(descriptor)

    def answer(self, report: dict[str, Any]) -> Any:
        """Return the job's value, or raise what became of it."""
        confined = self._was_confined()
        if report["timed_out"]:
            raise JobTimedOut("the job ran out of wall time and was killed")
        if report["code"] < 0:
            raise JobCrashed(signal=-report["code"])
        result = self._read()
        if not confined:
            raise ConfinementError(str(result.get("message", "the job's process did not confine itself")))
        if "kind" in result:
            raise JobFailed(str(result["kind"]), str(result.get("message", "")))
        if report["code"] != 0 or "value" not in result:
            raise JobCrashed(signal=0, code=report["code"])
        return result["value"]

    def _was_confined(self) -> bool:
        with suppress(BlockingIOError):
            return os.read(self._proof, 2) == child.CONFINED
        return False

    def _read(self) -> dict[str, Any]:
        size = os.fstat(self._result).st_size
        if size > self._limit:
            raise JobFailed("ResultTooLarge", f"{size} bytes, at most {self._limit} are allowed")
        try:
            result = json.loads(os.pread(self._result, size, 0) or b"{}")
        except ValueError:
            return {}
        return result if isinstance(result, dict) else {}
