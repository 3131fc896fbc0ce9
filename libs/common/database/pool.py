"""The connection pool, and the transactions that it gives out."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import asyncpg
import orjson

from libs.common.context import Context
from libs.common.database.transaction import Hands, Transaction
from libs.common.errors import Unavailable
from libs.common.telemetry.metrics import POOL_ACQUIRE_SECONDS, POOL_IN_USE, POOL_SIZE, POOL_WAITERS

_DAYS, _FIRST_DAY = struct.Struct("!i"), date(2000, 1, 1).toordinal()
_BOUNDLESS = {2**31 - 1: date.max, -(2**31): date.min}


async def prepare_connection(connection: Any) -> None:
    """Give a new connection the codecs that all our code relies on: JSON as Python values, dates as they are.

    The driver would keep the calendar's first and last day as boundless, which PostgreSQL shows as words, not dates.
    """
    await connection.set_type_codec("date", encoder=_days, decoder=_date, schema="pg_catalog", format="binary")
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_dump, decoder=orjson.loads, schema="pg_catalog", format="text")


async def _keep(connection: Any) -> None:
    """Skip the reset's round trip: nothing outlives a transaction here, neither settings nor locks."""


def _days(value: date) -> bytes:
    return _DAYS.pack(value.toordinal() - _FIRST_DAY)


def _date(days: bytes) -> date:
    (number,) = _DAYS.unpack(days)
    return _BOUNDLESS.get(number) or date.fromordinal(number + _FIRST_DAY)


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


class Database:
    """A pool of connections for one role of one service."""

    def __init__(self, pool: Any, *, service: str, role: str, acquire_seconds: float) -> None:
        self._pool = pool
        self._waiters = POOL_WAITERS.labels(service, role)
        self._waited = POOL_ACQUIRE_SECONDS.labels(service, role)
        self._in_use = POOL_IN_USE.labels(service, role)
        self._acquire_seconds = acquire_seconds
        self.service = service
        self.after_commit: list[Callable[[], None]] = []
        self.hands: Hands | None = None
        """Who begins work of this process at once, if anybody."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        service: str,
        role: str = "server",
        size: int = 10,
        acquire_seconds: float = 2.0,
        transaction_pooler: bool = False,
    ) -> AsyncIterator["Database"]:
        """Open the pool; it connects lazily and is closed at the end."""
        pool = await asyncpg.create_pool(
            url,
            min_size=min(2, size),
            max_size=size,
            init=prepare_connection,
            reset=_keep,
            statement_cache_size=0 if transaction_pooler else 200,
            command_timeout=60,
            server_settings={"application_name": f"regent-{service}-{role}", "timezone": "UTC", "search_path": service},
        )
        POOL_SIZE.labels(service, role).set(size)
        try:
            yield cls(pool, service=service, role=role, acquire_seconds=acquire_seconds)
        finally:
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a connection.

        Raises:
            Unavailable: none became free in time, or the database does not answer.
        """
        started = time.perf_counter()
        self._waiters.inc()
        try:
            connection = await self._pool.acquire(timeout=self._acquire_seconds)
        except (TimeoutError, OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            raise Unavailable("The database is busy or away; try again.", retry_after=1) from error
        except asyncpg.TooManyConnectionsError as error:
            raise Unavailable("The database has no connection left; try again.", retry_after=1) from error
        finally:
            self._waiters.dec()
            self._waited.observe(time.perf_counter() - started)
        self._in_use.inc()
        try:
            yield connection
        finally:
            self._in_use.dec()
            await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self, context: Context) -> AsyncIterator[Transaction]:
        """Run a transaction for the context's tenant: committed at the end, rolled back on an exception."""
        async with self.connection() as connection:
            transaction = Transaction(connection, context, self.service, self.hands)
            await transaction.begin()
            try:
                yield transaction
                await transaction.flush()
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()
        if transaction.wrote_outbox:
            for wake in self.after_commit:
                wake()
