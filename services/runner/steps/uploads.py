"""Files on their way to the object store."""

import asyncio
from pathlib import Path

from libs.common.objects import Objects, Sealed


class Uploads:
    """Sealed files that go to the object store from now on, or, where they are `held`, once they are released."""

    def __init__(self, objects: Objects, *, held: bool = False) -> None:
        self._objects = objects
        self._held: list[tuple[Sealed, Path]] | None = [] if held else None
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, sealed: Sealed, path: Path) -> None:
        """Upload a file."""
        if self._held is not None:
            self._held.append((sealed, path))
        else:
            self._tasks.add(asyncio.create_task(self._objects.put_hashed(sealed, path)))

    def release(self) -> None:
        """Upload what was held back, and what is added from now on."""
        held, self._held = self._held or [], None
        for sealed, path in held:
            self.add(sealed, path)

    async def settled(self) -> None:
        """Wait until all files that were added are in the object store for good.

        Raises:
            Exception: what kept one from getting there.
        """
        tasks, self._tasks = self._tasks, set()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def abandon(self) -> None:
        """Stop what is still on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
