"""How much a job may write in all below a directory: the kernel bounds each file, nobody their sum."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_SECONDS = 0.25
_MOST_FILES = 10_000
_BLOCK = 512


@dataclass(slots=True)
class Room:
    """`most_bytes` more than there are now below `directory`, in at most 10,000 files.

    It is looked at four times a second: a job that has taken more is killed, having written a little more than it may.
    """

    directory: Path
    most_bytes: int
    exceeded: bool = False
    _before: int = field(init=False)

    def __post_init__(self) -> None:
        self._before = sum(_sizes(self.directory))

    async def overflow(self) -> None:
        """Return when more is taken than may be."""
        while not self._is_over():  # noqa: ASYNC110 - files set no event
            await asyncio.sleep(_LOOK_SECONDS)
        self.exceeded = True

    def _is_over(self) -> bool:
        left = self._before + self.most_bytes
        for files, size in enumerate(_sizes(self.directory)):
            left -= size
            if left < 0 or files > _MOST_FILES:
                return True
        return False


def _sizes(directory: Path) -> Iterator[int]:
    """Yield what each file takes on disk; files come and go meanwhile."""
    pending = [os.fspath(directory)]
    while pending:
        with suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK
