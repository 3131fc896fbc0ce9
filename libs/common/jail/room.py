"""How much a job may write in all: the kernel bounds each file, nobody their sum. Its parent looks, beside the job."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_SHORTEST, _LONGEST = 0.005, 0.25
_LOOKS_A_PAUSE = 10
_BYTES_A_SECOND = 4 * 1024**3
_MOST_FILES = 10_000
_BLOCK = 512

_Sizes = dict[tuple[int, int], int]


class _OverfullError(OSError):
    """More files than anybody needs."""


@dataclass(slots=True)
class Room:
    """`most_bytes` more than what there was to begin with, in at most 10,000 files.

    It is looked at the more often the less is left: past the bound goes what is written in some five milliseconds. Files that
    were removed count for as long as they are open; mapped ones are not seen, so that who has a room may map none.
    """

    most_bytes: int
    _writable: tuple[int, ...]
    _given: frozenset[tuple[int, int]]
    pid: int = 0
    due: float = 0.0
    exceeded: bool = False
    _before: int = 0

    @classmethod
    def of(cls, most_bytes: int, descriptors: Sequence[int], writable: int) -> Self:
        """Return the room of a job that is to begin, as `pid`, with `descriptors`; the last `writable` it may write to."""
        given = frozenset((one.st_dev, one.st_ino) for one in map(os.fstat, descriptors))
        kept = tuple(os.dup(descriptor) for descriptor in descriptors[len(descriptors) - writable :])
        room = cls(most_bytes, kept, given)
        with suppress(OSError):  # what cannot be seen now cannot be later, and ends the job
            room._before = sum(room._sizes().values())
        return room

    def look(self) -> bool:
        """Say whether more is taken than may be, or cannot be seen; decide when to look again."""
        began = time.monotonic()
        try:
            left = self._before + self.most_bytes - sum(self._sizes().values())
        except OSError:  # too many, or hidden on purpose
            left = -1
        now = time.monotonic()
        pause = max(_SHORTEST, left / _BYTES_A_SECOND, _LOOKS_A_PAUSE * (now - began))
        self.due = now + min(_LONGEST, pause)
        self.exceeded = self.exceeded or left < 0
        return self.exceeded

    def close(self) -> None:
        """Let go of the job's files."""
        for descriptor in self._writable:
            os.close(descriptor)

    def _sizes(self) -> _Sizes:
        sizes: _Sizes = {}
        for part in (self._given_files(), *map(_below, self._writable), self._nameless()):
            for one in part:
                sizes[one.st_dev, one.st_ino] = one.st_blocks * _BLOCK
                if len(sizes) > _MOST_FILES:
                    raise _OverfullError
        return sizes

    def _given_files(self) -> Iterator[os.stat_result]:
        return map(os.fstat, self._writable)

    def _nameless(self) -> Iterator[os.stat_result]:
        """Yield what the job has removed, or never named, and holds open."""
        for entry in self._opened():
            with suppress(FileNotFoundError, ProcessLookupError):
                one = entry.stat()
                if stat.S_ISREG(one.st_mode) and not one.st_nlink and (one.st_dev, one.st_ino) not in self._given:
                    yield one

    def _opened(self) -> "list[os.DirEntry[str]]":
        """Return the descriptors of the first thread that has any: all share theirs, but one that has left shows none."""
        for thread in _listed(f"/proc/{self.pid}/task") if self.pid else ():
            found = _listed(f"{thread.path}/fd")
            if found:
                return found
        return []


def _listed(path: str) -> "list[os.DirEntry[str]]":
    with suppress(FileNotFoundError, ProcessLookupError), os.scandir(path) as entries:
        return list(entries)
    return []


def _below(descriptor: int) -> Iterator[os.stat_result]:
    """Yield what lies in a directory, where it is one; files come and go meanwhile, directories nobody can make."""
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return
    # opened anew: the job shares its place in what it was given
    opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
    finally:
        os.close(opened)
