"""A pipe between one thread that writes and the caller that reads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def piped(write: Callable[[BinaryIO], int]) -> Iterator[tuple[BinaryIO, "Future[int]"]]:
    """Run `write` on a thread with a pipe's end to write to; yield the other end and the coming result.

    Leaving closes the reading end, which breaks a writer that is still at it, and waits for the thread.
    """
    source, sink = os.pipe()
    with ThreadPoolExecutor(1) as pool, os.fdopen(source, "rb", buffering=0) as stream:
        yield stream, pool.submit(_write, write, sink)


def _write(write: Callable[[BinaryIO], int], sink: int) -> int:
    with os.fdopen(sink, "wb", buffering=0) as stream:
        return write(stream)
