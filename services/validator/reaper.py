"""Finds queued validations that nobody works on (a worker died, or a poke was lost), and waivers whose day is past."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from libs.common.context import utc_now
from libs.common.database.pool import Database
from libs.common.errors import Refusal
from services.validator import store
from services.validator.exceptions import lapsing
from services.validator.worker import Worker

_LOG = structlog.get_logger(__name__)
_INTERVAL = 2.0
_MOST = 4


async def reap(claimer: Database, worker: Worker, database: Database) -> None:
    """Hand abandoned jobs to the worker, and end waivers, until cancelled; neither waits for the other."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_repeated(lambda: _hand_over(claimer, worker)))
        group.create_task(_repeated(lambda: lapsing.end_lapsed(claimer, database, utc_now())))


async def _repeated(look: Callable[[], Awaitable[None]]) -> None:
    """Look from time to time; a lost database is waited for."""
    while True:
        await asyncio.sleep(_INTERVAL)
        try:
            await look()
        except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _LOG.warning("reaper.interrupted", error=repr(error))
        except Exception:  # nor may anything else end the service
            _LOG.exception("reaper.failed")


async def _hand_over(claimer: Database, worker: Worker) -> None:
    async with claimer.connection() as connection:
        found = await store.abandoned(connection, utc_now(), _MOST)
    for row in found:
        await _work(worker, {"tenant_id": str(row["tenant_id"]), "request_id": str(row["request_id"])})


async def _work(worker: Worker, reference: dict[str, str]) -> None:
    """Work on one job; one that fails must neither end the service nor keep the others waiting."""
    try:
        await worker.work(reference)
    except Exception:
        _LOG.exception("reaper.failed", **reference)
