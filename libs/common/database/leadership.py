"""Of several replicas one leads: a session-level advisory lock, so a dead leader's lock is free at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_POLL_SECONDS = 0.5


@asynccontextmanager
async def leadership(url: str, service: str, task: str) -> AsyncIterator[Any]:
    """Wait to become the leader of a task; yields the connection that holds the lock.

    The connection is direct, never through a transaction pooler. When it breaks the leadership is gone: whoever leads
    must check `connection.is_closed()` between units of work.
    """
    connection: Any = await asyncpg.connect(
        url,
        server_settings={
            "search_path": service,
            "timezone": "UTC",
            "application_name": f"regent-{service}-{task}",
            "tcp_keepalives_idle": "10",
        },
    )
    try:
        # another process releases the lock: there is no event to wait for
        while not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1), hashtext($2))", service, task):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        yield connection
    finally:
        connection.terminate()
