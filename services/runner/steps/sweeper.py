"""Finding runs that nobody works on: pokes get lost, workers die, definitions and verdicts come late."""

import asyncio
from typing import Any
from uuid import UUID

import structlog

from libs.common.database.pool import Database
from services.runner.commands import claims
from services.runner.steps.executor import Executor
from services.runner.steps.workspace import Workspaces

_LOG = structlog.get_logger(__name__)
_DUE = "SELECT tenant_id, id, status FROM run WHERE lease_until < clock_timestamp() ORDER BY lease_until LIMIT 50"
_PAUSE_SECONDS = 1.0


class Sweeper:
    """Looks once a second, as a role that sees lease columns only; each run is then handled under its tenant."""

    def __init__(self, reaper: Database, database: Database, executor: Executor, workspaces: Workspaces) -> None:
        self._reaper = reaper
        self._database = database
        self._executor = executor
        self._workspaces = workspaces
        self._attempts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
                await self._workspaces.tidy()
            except Exception as error:
                _LOG.warning("sweeper.interrupted", error=repr(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def sweep(self) -> None:
        """Look once."""
        async with self._reaper.connection() as connection:
            due = await connection.fetch(_DUE)
        for row in due:
            if row["status"] in ("running", "validating", "transforming"):
                await self._reap(row["tenant_id"], row["id"])
            elif not self._executor.busy:
                self._attempt(row)
                await asyncio.sleep(0)

    async def _reap(self, tenant_id: UUID, run_id: UUID) -> None:
        async with self._database.transaction(self._executor.context(tenant_id)) as tx:
            run = await claims.reap(tx, run_id)
        _LOG.info("run.reaped", run=str(run_id), status=run["status"])

    def _attempt(self, row: Any) -> None:
        task = asyncio.create_task(self._executor.attempt(row["tenant_id"], row["id"]))
        self._attempts.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._attempts.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("sweeper.attempt_failed", error=repr(error))
