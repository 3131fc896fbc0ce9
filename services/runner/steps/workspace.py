"""Work in progress on the local disk: what was made or fetched here once is not fetched again."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from libs.common.objects import Objects, Sealed, hash_file
from services.runner.steps.uploads import Uploads

_IDLE_SECONDS = 900.0
_SMALL = 64 * 1024

Basis = frozenset[tuple[str, ...]]
"""What a piece of work rests on: where two are equal, so are the results."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """Work before its turn, and what it wants uploaded."""

    task: asyncio.Task[Any]
    uploads: Uploads


class Workspace:
    """One run's directory; sealed files in it are known by their content's hash."""

    def __init__(self, objects: Objects, directory: Path) -> None:
        self._objects = objects
        self._directory = directory
        self._known: dict[str, Path] = {}
        self._uploads = Uploads(objects)
        self._adopted: list[Uploads] = []
        self._begun: dict[tuple[str, Basis], _Begun] = {}
        self.used_at = time.monotonic()

    def place(self, step: str, attempt: int) -> Path:
        """Return an empty directory for an attempt at a step."""
        directory = self._directory / f"{step}-{attempt}"
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
        return directory

    async def keep(self, key: str, path: Path) -> Sealed:
        """Seal a local file; it goes to the object store from now on, and is there once all is `settled`."""
        small = path.stat().st_size <= _SMALL  # another thread takes longer than its hash
        sealed = Sealed(key, *(hash_file(path) if small else await asyncio.to_thread(hash_file, path)))
        self._known[sealed.sha256] = path
        self._uploads.add(sealed, path)
        return sealed

    async def settled(self) -> None:
        """Wait until all that was kept is in the object store for good: nothing may be said of it before.

        Raises:
            Exception: what kept a file from getting there.
        """
        adopted, self._adopted = self._adopted, []
        for uploads in (self._uploads, *adopted):
            await uploads.settled()

    async def file(self, sealed: Sealed) -> Path:
        """Return a sealed file as a local one.

        Raises:
            ObjectMissingError, ObjectAlteredError: the store has lost or changed it.
        """
        known = self._known.get(sealed.sha256)
        if known is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            known = self._directory / f"{sealed.sha256}{Path(sealed.key).suffix}"
            await self._objects.fetch(sealed.key, sealed.sha256, known)
            self._known[sealed.sha256] = known
        return known

    def begin(self, step: str, basis: Basis, work: Callable[["Workspace"], Coroutine[Any, Any, Any]]) -> None:
        """Begin a step before its turn, unless it has begun; nothing of it is uploaded before it is released."""
        if (step, basis) not in self._begun:
            branch = copy(self)
            branch._uploads = uploads = Uploads(self._objects, held=True)  # noqa: SLF001 - of this very class
            self._begun[step, basis] = _Begun(asyncio.create_task(work(branch)), uploads)

    def is_made(self, step: str, basis: Basis) -> bool:
        """Say whether what was begun of a step is done, in whichever way."""
        return self._begun[step, basis].task.done()

    def release(self, step: str, basis: Basis) -> None:
        """Upload what was begun makes: it will be taken up."""
        self._begun[step, basis].uploads.release()

    def begun(self, step: str, basis: Basis) -> "asyncio.Task[Any] | None":
        """Take up what was begun of a step on that very basis, or None; what rests on another one is stopped."""
        found = self._begun.pop((step, basis), None)
        for other in [key for key in self._begun if key[0] == step]:
            self._begun.pop(other).task.cancel()
        if found is None:
            return None
        found.uploads.release()
        self._adopted.append(found.uploads)
        return found.task

    async def abandon(self) -> None:
        """Stop what was begun, and what is still on its way to the object store."""
        begun = list(self._begun.values())
        self._begun.clear()
        for each in begun:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in begun), return_exceptions=True)
        for uploads in (self._uploads, *self._adopted, *(each.uploads for each in begun)):
            await uploads.abandon()

    def remove(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self._directory, ignore_errors=True)


class Workspaces:
    """This process's workspaces, by run."""

    def __init__(self, objects: Objects, scratch: Path) -> None:
        self._objects = objects
        self.home = scratch / str(os.getpid())
        self._open: dict[UUID, Workspace] = {}

    def prepare(self) -> None:
        """Make this process's directory and delete those of processes that are gone."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        for left in self.home.parent.iterdir():
            if left.name.isdigit() and (left == self.home or not Path(f"/proc/{left.name}").exists()):
                shutil.rmtree(left, ignore_errors=True)
        self.home.mkdir(mode=0o700, exist_ok=True)

    def of(self, run_id: UUID) -> Workspace:
        """Return a run's workspace."""
        found = self._open.setdefault(run_id, Workspace(self._objects, self.home / str(run_id)))
        found.used_at = time.monotonic()
        return found

    async def drop(self, run_id: UUID) -> None:
        """Delete a run's workspace: it has ended, or another worker has it."""
        if (found := self._open.pop(run_id, None)) is not None:
            await found.abandon()
            await asyncio.to_thread(found.remove)

    async def tidy(self) -> None:
        """Delete what nobody used for a while; it is in the object store."""
        limit = time.monotonic() - _IDLE_SECONDS
        for run_id in [run_id for run_id, workspace in self._open.items() if workspace.used_at < limit]:
            await self.drop(run_id)

    async def close(self) -> None:
        """Stop what was begun, and delete this process's directory."""
        for workspace in self._open.values():
            await workspace.abandon()
        shutil.rmtree(self.home, ignore_errors=True)
