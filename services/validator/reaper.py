"""Finds queued validations that nobody works on (a worker died, or a poke was lost), and waivers whose day is past."""

import asyncio

import asyncpg
import structlog

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.database.transaction import Row
from libs.common.errors import Refusal
from services.validator import store
from services.validator.exceptions import lapsing
from services.validator.worker import Worker

_LOG = structlog.get_logger(__name__)
_INTERVAL = 2.0
_MOST = 4
_MOST_WAIVERS = 100


async def reap(claimer: Database, worker: Worker, database: Database) -> None:
    """Hand abandoned jobs to the worker, and end waivers, until cancelled; a lost database is waited for."""
    while True:
        await asyncio.sleep(_INTERVAL)
        try:
            async with claimer.connection() as connection:
                found = await store.abandoned(connection, utc_now(), _MOST)
                over = await lapsing.lapsed(connection, utc_now().date(), _MOST_WAIVERS)
            for row in found:
                reference = {"tenant_id": str(row["tenant_id"]), "request_id": str(row["request_id"])}
                await worker.work(reference)
            for row in over:
                await _lapse(database, row)
        except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _LOG.warning("reaper.interrupted", error=repr(error))
        except Exception:  # one job that fails must not end the service
            _LOG.exception("reaper.failed")


async def _lapse(database: Database, row: Row) -> None:
    context = Context(row["tenant_id"], "service:validator", utc_now())
    async with database.transaction(context) as tx:
        await lapsing.lapse(tx, row["id"])
