"""Carries the core, which is synchronous, on the event loop: the greenlets that lie under `AsyncSession.run_sync`.

A session itself would bring a second way to begin, to set the tenant and to announce events; the transaction has these.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

_Result = TypeVar("_Result")


async def run(work: Callable[[], _Result]) -> _Result:
    """Run a synchronous function whose hooks may `wait`; what it raises is raised here."""
    return await greenlet_spawn(work)


def wait(coming: Awaitable[_Result]) -> _Result:
    """Return what comes, from inside of `run`; the event loop goes on meanwhile."""
    return await_only(coming)
