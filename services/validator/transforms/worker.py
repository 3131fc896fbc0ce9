"""Takes queued transforms, has them run behind the wall, and says what came of them."""

import asyncio
import shutil
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from libs.common.app import Runtime
from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.definitions.copies import SealedReader
from libs.common.errors import Refusal, Unavailable
from libs.common.events.jail import CodeLine
from libs.common.events.runner import TransformRequested
from libs.common.events.validator import TransformFailed
from libs.common.identity.grants import require_grant
from libs.common.jail import ConfinementError, JobServer, JobServerLost
from libs.common.objects import ObjectAlteredError, ObjectMissingError
from libs.common.telemetry.traces import span
from libs.expressions.sql import SqlError
from services.validator.jail.answers import TransformStoppedError, log_excerpt
from services.validator.jail.limits import Budget
from services.validator.jail.transforms import Done, Work, transform
from services.validator.transforms import commands, store
from services.validator.transforms.metrics import SECONDS, TRANSFORMS
from services.validator.transforms.parcels import Job, Parcels
from services.validator.transforms.room import Room

_LOG = structlog.get_logger(__name__)
_BEATS_PER_LEASE = 3
_MOST_ATTEMPTS = 3
_LOOK_SECONDS = 2.0
_LIVES = 3


class Transformer:
    """Runs transforms beside whatever else the service does; a worker that dies is replaced when its lease is over."""

    def __init__(self, runtime: Runtime, server: JobServer, sealed: SealedReader) -> None:
        self._runtime = runtime
        self._server = server
        self._parcels = Parcels(runtime.objects, sealed)
        self._settings = runtime.settings
        self._lease = timedelta(seconds=runtime.settings.lease_seconds)
        self._room = Room(runtime.settings.transform_slots)
        self._tasks: set[asyncio.Task[None]] = set()
        self._jobs: dict[UUID, Job] = {}

    async def take(self, reference: dict[str, Any]) -> None:
        """Begin a transform if there is room for it; where there is none, it is looked for again."""
        tenant_id = UUID(reference["tenant_id"])
        if self._room.has_place(tenant_id):
            task = asyncio.create_task(self._attempt(tenant_id, UUID(reference["request_id"])))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)  # it takes its place before anybody else looks

    async def look(self, claimer: Database) -> None:
        """Look for transforms that nobody works on, until cancelled; a lost database is waited for."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with claimer.connection() as connection:
                    found = await store.waiting(connection, utc_now(), self._settings.transform_slots)
                for row in found:
                    await self.take({name: str(row[name]) for name in ("tenant_id", "request_id")})
            except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _LOG.warning("transforms.look_interrupted", error=repr(error))

    async def close(self) -> None:
        """Stop all work and give it back: others take it up at once."""
        left = dict(self._jobs)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for request_id, job in left.items():
            now = utc_now()
            async with self._runtime.database.transaction(replace(job.context, now=now)) as tx:
                await store.extend(tx, request_id, job.attempt, now)

    async def _attempt(self, tenant_id: UUID, request_id: UUID) -> None:
        with self._room.place(tenant_id):
            try:
                await self._server.opening(self._lease.total_seconds())  # a claim before would wait for its lease's end
                job = await self._claim(tenant_id, request_id)
                if job is not None:
                    self._jobs[request_id] = job
                    with span("transform", parent=job.context.traceparent):
                        await self._work(job)
            except Exception:  # the lease runs out, and the job is looked for again
                _LOG.exception("transform.interrupted", request=str(request_id))
            finally:
                self._jobs.pop(request_id, None)

    async def _claim(self, tenant_id: UUID, request_id: UUID) -> Job | None:
        context = Context(tenant_id, "service:validator", utc_now())
        async with self._runtime.database.transaction(context) as tx:
            row = await store.claim(tx, request_id, context.now + self._lease)
        if row is None:
            return None
        request = TransformRequested.model_validate(row["request"])
        correlation = row["correlation_id"] or str(request.run_id)
        context = replace(context, correlation_id=correlation, traceparent=row["traceparent"])
        return Job(context, request, row["attempts"])

    async def _work(self, job: Job) -> None:
        """Do the work and keep the lease; work that is no longer ours is dropped."""
        work = asyncio.create_task(self._transform_or_fail(job))
        beat = asyncio.create_task(self._beat(job))
        try:
            await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, beat):
                task.cancel()
            ended = await asyncio.gather(work, beat, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _beat(self, job: Job) -> None:
        """Keep the lease until the job is somebody else's or over."""
        ours = True
        while ours:
            await asyncio.sleep(self._lease.total_seconds() / _BEATS_PER_LEASE)
            now = utc_now()
            try:
                async with self._runtime.database.transaction(replace(job.context, now=now)) as tx:
                    ours = await store.extend(tx, job.request.request_id, job.attempt, now + self._lease)
            except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _LOG.warning("transform.beat_missed", error=repr(error))

    async def _transform_or_fail(self, job: Job) -> None:
        scratch = Path(tempfile.mkdtemp(prefix="transform-", dir=self._settings.scratch))
        began = time.perf_counter()
        try:
            await self._transform(job, scratch, began)
        except TransformStoppedError as error:
            await self._fail(job, error.code, error.message, scratch, **_figures(error, began))
        except (ObjectMissingError, ObjectAlteredError):
            await self._fail(
                job, "dataset-altered", "The records in the object store are not what was sealed.", scratch
            )
        except SqlError as error:
            await self._fail(job, "query-refused", f"The query may not run: {error}", scratch)
        except (Unavailable, JobServerLost, ConfinementError, OSError) as error:
            if job.attempt < _MOST_ATTEMPTS:
                raise
            _LOG.warning("transform.unavailable", error=repr(error))
            await self._fail(job, "validator-unavailable", "The transform could not be run in several tries.", scratch)
        except Refusal as error:
            await self._fail(job, error.kind, error.detail, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _fail(self, job: Job, code: str, message: str, scratch: Path, **figures: Any) -> None:
        request = job.request
        TRANSFORMS.labels(request.kind, code).inc()
        _LOG.warning("transform.failed", run=str(request.run_id), code=code)
        failed = TransformFailed(
            run_id=request.run_id,
            request_id=request.request_id,
            kind=request.kind,
            code_sha256=request.code_sha256,
            code=code,
            message=message[:2000],
            log=await self._parcels.seal_log(job, scratch),
            log_excerpt=log_excerpt(scratch),
            **figures,
        )
        async with self._runtime.database.transaction(job.context) as tx:
            await commands.fail(tx, job.attempt, failed)

    async def _transform(self, job: Job, scratch: Path, began: float) -> None:
        request = job.request
        key, tenant_id, now = self._settings.runner_public_key, job.context.tenant_id, job.context.now
        require_grant(key, tenant_id, request.run_id, "transform", request.grant, now)
        if request.dataset not in request.grant.reads:
            raise Refusal("The grant does not name the records.", type="bad-grant")
        work = await self._parcels.unpack(job, scratch)
        await self._runtime.objects.fetch(request.dataset.key, request.dataset.sha256, work.records)
        done = await self._run(job, work)
        completed = await self._parcels.completed(job, scratch, work, done, began)
        async with self._runtime.database.transaction(job.context) as tx:
            await commands.complete(tx, job.attempt, completed)
        TRANSFORMS.labels(request.kind, "completed").inc()
        SECONDS.labels(request.kind).observe(completed.seconds)

    async def _run(self, job: Job, work: Work) -> Done:
        """Run it; when the jail dies under the work, again in its next life."""

        async def heard(records: int, rows: int) -> None:
            now = utc_now()
            try:
                async with self._runtime.database.transaction(replace(job.context, now=now)) as tx:
                    await commands.note_progress(tx, job.request, job.attempt, now + self._lease, (records, rows))
            except (Refusal, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _LOG.warning("transform.progress_missed", error=repr(error))

        for life in range(_LIVES):
            try:
                return await transform(self._server, work, self._budget(), heard)
            except JobServerLost:
                if life + 1 == _LIVES:
                    raise
        raise AssertionError("unreachable")

    def _budget(self) -> Budget:
        chosen = self._settings
        return Budget(
            memory=chosen.transform_memory_mib * 1024 * 1024,
            result_bytes=chosen.transform_result_mib * 1024 * 1024,
            cpu_seconds=chosen.transform_cpu_seconds,
            wall_seconds=chosen.transform_wall_seconds,
        )


def _figures(error: TransformStoppedError, began: float) -> dict[str, Any]:
    """Return where code failed and what it took until then."""
    took = error.took
    return {
        "lines": tuple(CodeLine(**line.model_dump()) for line in error.lines),
        "seconds": round(time.perf_counter() - began, 4),
        "cpu_seconds": took.cpu_seconds if took else None,
        "peak_bytes": took.peak_rss if took else None,
    }
