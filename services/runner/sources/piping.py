"""A pipe between one thread that writes and the caller that reads."""

import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from typing import BinaryIO

_SIZE = 1024 * 1024
"""Bytes under way: what the kernel gives without privileges, and what the reader takes at once."""


@contextmanager
def piped(write: Callable[[BinaryIO], int]) -> Iterator[tuple["BufferedReader[FileIO]", "Future[int]"]]:
    """Run `write` on a thread with a pipe's end to write to; yield the other end and the coming result.

    Leaving closes the reading end, which breaks a writer that is still at it, and waits for the thread.
    """
    source, sink = os.pipe()
    with suppress(PermissionError):  # the user's pipes take as much as they may
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _SIZE)
    with ThreadPoolExecutor(1) as pool, BufferedReader(FileIO(source), _SIZE) as stream:
        yield stream, pool.submit(_write, write, sink)


def _write(write: Callable[[BinaryIO], int], sink: int) -> int:
    with os.fdopen(sink, "wb", buffering=0) as stream:
        return write(stream)
