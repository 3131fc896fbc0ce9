"""What it costs to look at a text: CPU of this process, without what the process does for other tests at that moment."""

import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

CPU_SECONDS = 0.1
"""What looking at one text may cost at most."""
_TRIES = 3
_Asked, _Found = TypeVar("_Asked"), TypeVar("_Found")


def frugally(look: Callable[[_Asked], _Found], text: _Asked, budget: float = CPU_SECONDS) -> _Found:
    """Return what `look` returns of a text, or of what was made of one; fails when it takes more CPU than its budget in seconds, three times out of three.

    A text is dear every time that it is read; a thread that an earlier test left running is busy now and then.
    """
    for _ in range(_TRIES):
        with _without_collection():
            before = _seconds()
            found = look(text)
            spent = _seconds() - before
        if spent <= budget:
            return found
    pytest.fail(f"{str(text)[:80]}: {spent:.3f} s of CPU, {budget} s were expected at most")


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: it would be that of thousands of tests, and takes as long as a bomb."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
