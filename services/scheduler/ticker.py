"""The claim loop: finds what is due in all tenants and fires each under its own."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.errors import Refusal
from services.scheduler import commands, store

_LOG = structlog.get_logger(__name__)
_CLAIM_LIFE = timedelta(seconds=30)

FIRINGS = Counter("regent_schedule_firings_total", "Runs that schedules asked for")
FAILURES = Counter("regent_schedule_failures_total", "Due schedules that could not be fired")


class Ticker:
    """Fires due schedules. Any number of tickers may run: a claim is one ticker's, a firing happens once."""

    def __init__(self, database: Database, claimer: Database, own: Definitions, *, size: int) -> None:
        self._database = database
        self._claimer = claimer
        self._own = own
        self._size = size

    async def run(self, seconds: float) -> None:
        """Tick until cancelled; a lost database is waited for."""
        while True:
            try:
                while await self.tick(utc_now()):
                    pass
            except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _LOG.warning("ticker.interrupted", error=repr(error))
            await asyncio.sleep(seconds)

    async def tick(self, now: datetime) -> int:
        """Fire what is due at `now`; returns how many schedules that were."""
        async with self._claimer.connection() as connection:
            claimed = await store.claim(connection, now, _CLAIM_LIFE, self._size)
        for row in claimed:
            await self._fire(row["tenant_id"], row["id"], now)
        return len(claimed)

    async def _fire(self, tenant_id: UUID, id_: UUID, now: datetime) -> None:
        context = Context(tenant_id, "service:scheduler", now, correlation_id=str(id_))
        try:
            async with self._database.transaction(context) as tx:
                fired = await commands.fire(tx, self._own, id_)
            FIRINGS.inc(fired)
        except Exception:  # one schedule that cannot be fired must not hold the others
            FAILURES.inc()
            _LOG.exception("schedule.failed", schedule=str(id_))
