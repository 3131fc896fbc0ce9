"""Two transactions that cross: the second begins while the first is open, and goes as far as it can before that commits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from libs.common.database.transaction import Transaction
from tests.validator.queue import Queue

Work = Callable[[Transaction], Awaitable[Any]]
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"


async def cross(queue: Queue, first: Work, second: Work) -> None:
    """Do `first`; before it commits, have `second` done, or begun until it waits for a lock; then commit both."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with queue.transaction("service:validator") as tx:
        await first(tx)
        other = asyncio.create_task(_work(queue, second, begun))
        pid = await begun
        while not other.done() and not await tx.connection.fetchval(_WAITS, pid):  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0)
    await other


async def _work(queue: Queue, work: Work, begun: "asyncio.Future[int]") -> None:
    async with queue.transaction("service:validator") as tx:
        begun.set_result(await tx.connection.fetchval("SELECT pg_backend_pid()"))
        await work(tx)
