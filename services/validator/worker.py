"""Takes queued validations, has them judged behind the wall, and says what came of them."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from libs.common.app import Runtime
from libs.common.context import Context, utc_now
from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned, SealedReader
from libs.common.errors import Refusal, Unavailable
from libs.common.events.runner import ObjectReference, ValidationRequested, VersionReference
from libs.common.identity.grants import require_grant
from libs.common.jail import JobError, JobServer, JobServerLost, fault_of
from libs.common.objects import ObjectAlteredError, ObjectMissingError
from libs.common.telemetry.traces import span
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Moment
from services.validator import commands, store
from services.validator.case import Case, RuleUnfitError
from services.validator.columns import column_types
from services.validator.exceptions import applying, unsealed
from services.validator.exceptions.applying import Overlaid
from services.validator.exceptions.concluding import conclude_job
from services.validator.exceptions.judging import Judge
from services.validator.exceptions.verdicts import Failures, Opener
from services.validator.indicators import commands as indicators
from services.validator.jail.broker import OtherColumnsError, Outcome, Request, RuleTally
from services.validator.jail.sealing import ResultError, describe
from services.validator.metrics import JOBS, note_verdict
from services.validator.plan import ResolvedRule
from services.validator.telling import completed_by

_LOG = structlog.get_logger(__name__)
_BEATS_PER_LEASE = 3
_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed validation."""

    context: Context
    request: ValidationRequested
    attempt: int


class Worker:
    """Judges datasets; a worker that dies is replaced when its lease is over."""

    def __init__(self, runtime: Runtime, server: JobServer, sealed: SealedReader) -> None:
        self._runtime = runtime
        self._server = server
        self._sealed = sealed
        self._settings = runtime.settings
        self._lease = timedelta(seconds=runtime.settings.lease_seconds)

    async def work(self, reference: dict[str, Any]) -> None:
        """Handle one poke, once the jail is open: what is claimed before would wait until its lease is over."""
        await self._server.opening(self._lease.total_seconds())
        context = Context(UUID(reference["tenant_id"]), "service:validator", utc_now())
        async with self._runtime.database.transaction(context) as tx:
            row = await self._claim(tx, reference)
        if row is not None:
            await self.work_on(row)

    async def take(self, tx: Transaction, reference: dict[str, Any]) -> Row | None:
        """Take a validation in the transaction that queues it, where the jail is open."""
        return None if self._server.barred else await self._claim(tx, reference)

    async def _claim(self, tx: Transaction, reference: dict[str, Any]) -> Row | None:
        return await store.claim_job(tx, UUID(reference["request_id"]), tx.context.now + self._lease)

    async def work_on(self, row: Row) -> None:
        """Go on with a job that was taken."""
        context = Context(row["tenant_id"], "service:validator", utc_now())
        if row["task"] == "conclude":
            await conclude_job(self._runtime, context, row)
            return
        if row["task"] == unsealed.TASK:
            await unsealed.void_job(self._runtime.database, context, row, self._lease)
            return
        request = ValidationRequested.model_validate(row["request"])
        correlation = row["correlation_id"] or str(request.run_id)
        context = replace(context, correlation_id=correlation, traceparent=row["traceparent"])
        job = Job(context, request, row["attempts"])
        with span("validate", parent=row["traceparent"]):
            async with self._kept(job):
                await self._judge_or_fail(job)

    @asynccontextmanager
    async def _kept(self, job: Job) -> AsyncIterator[None]:
        """Keep the lease alive while the body runs."""
        beating = asyncio.create_task(self._beat(job))
        try:
            yield
        finally:
            beating.cancel()

    async def _beat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / _BEATS_PER_LEASE)
            now = utc_now()
            context = Context(job.context.tenant_id, job.context.actor, now)
            async with self._runtime.database.transaction(context) as tx:
                await store.extend_lease(tx, job.request.request_id, job.attempt, now + self._lease)

    async def _judge_or_fail(self, job: Job) -> None:
        scratch = Path(tempfile.mkdtemp(prefix="validation-", dir=self._settings.scratch))
        try:
            await self._judge(job, scratch)
            JOBS.labels("completed").inc()
        except (ObjectMissingError, ObjectAlteredError) as error:
            await self._fail(job, "dataset-altered", f"The dataset in the object store is not what was sealed: {error}")
        except RuleUnfitError as error:
            await self._fail(job, "rule-does-not-compile", f"A rule does not fit the dataset: {error}")
        except RuleErredError as error:
            await self._fail(job, "rule-erred", str(error))
        except (Unavailable, JobServerLost, OSError):
            if job.attempt < _MOST_ATTEMPTS:
                raise
            await self._fail(job, "validator-unavailable", "The dataset could not be judged in several tries.")
        except asyncpg.DataError as error:
            await self._fail(job, "internal-error", f"What was found cannot be kept: {error}")
        except Refusal as error:
            await self._fail(job, error.kind, error.detail)
        except (JobError, ResultError) as error:
            fault = fault_of(error, "validation")
            code = "internal-error" if fault else "validation-stopped"
            await self._fail(job, code, fault or f"The validation was stopped: {error}")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _fail(self, job: Job, code: str, message: str) -> None:
        JOBS.labels("failed").inc()
        _LOG.warning("validation.failed", run=str(job.request.run_id), code=code, message=message)
        async with self._runtime.database.transaction(job.context) as tx:
            await commands.fail(tx, job.request, job.attempt, code, message[:2000])

    async def _judge(self, job: Job, scratch: Path) -> None:
        request, started = job.request, time.perf_counter()
        require_grant(
            self._settings.runner_public_key,
            job.context.tenant_id,
            request.run_id,
            request.phase,
            request.grant,
            job.context.now,
        )
        _require_granted(request)
        async with self._runtime.database.transaction(job.context) as tx:
            chosen = await commands.resolve_rules(tx, self._sealed, request)
            known = await applying.in_force(tx, request)
        data = scratch / "data.parquet"
        await self._runtime.objects.fetch(request.dataset.key, request.dataset.sha256, data)
        owner = str(job.context.tenant_id)
        judge = Judge(self._server, known, scratch, self._settings.memory_mib, self._settings.wall_seconds, owner)
        schema = SchemaSpec.model_validate(await self._sealed.read(_pinned(request.schema_version)))
        outcome, overlaid = await self._verdict(request, chosen, judge, schema, data)
        _require_no_errors(outcome, chosen)
        failures = await self._seal(request, scratch, "failures", outcome.failures)
        corrections = await self._seal(request, scratch, "corrections", outcome.corrections)
        seconds = time.perf_counter() - started
        completed = completed_by(request, chosen, outcome, failures, corrections, seconds)
        opener = await self._opener(request, chosen, scratch / "failures.parquet" if failures else None, scratch)
        if opener and not await opener.open_ahead(self._runtime.database, job.context, job.attempt):
            return
        async with self._runtime.database.transaction(job.context) as tx:
            if await commands.complete(tx, request, job.attempt, completed, opener):
                await applying.settle(tx, request, overlaid)
                if outcome.measures:
                    await indicators.keep_counts(tx, completed, outcome.measures)
        note_verdict(request, outcome, seconds)

    async def _verdict(
        self, request: ValidationRequested, chosen: commands.RunRules, judge: Judge, schema: SchemaSpec, data: Path
    ) -> tuple[Outcome, Overlaid]:
        """Judge by the columns that the dataset is said to have; where it has others, by those that are found in it."""
        if not judge.known.fields() and {field.name for field in schema.fields} <= request.column_types.keys():
            with suppress(OtherColumnsError, RuleUnfitError):
                asked = await self._request(request, chosen, data, request.column_types, judge.owner)
                said = replace(asked, measure=True, owner=judge.owner, told=request.column_types)
                return await judge.verdict(said, Overlaid()), Overlaid()
        columns = await describe(self._server, data, judge.owner)
        data, columns, overlaid = await judge.amended(request, schema, data, columns)
        asked = await self._request(request, chosen, data, column_types(columns), judge.owner)
        return await judge.verdict(replace(asked, measure=True, owner=judge.owner), overlaid), overlaid

    async def _request(
        self,
        request: ValidationRequested,
        chosen: commands.RunRules,
        data: Path,
        columns: Mapping[str, str],
        owner: str | None,
    ) -> Request:
        case = Case(
            schema=SchemaSpec.model_validate(await self._sealed.read(_pinned(request.schema_version))),
            rules=[
                ResolvedRule(
                    id=str(pinned.id),
                    version=pinned.number,
                    spec=RuleSpec.model_validate(await self._sealed.read(pinned)),
                )
                for pinned in chosen.rules
            ],
            mappings={
                pinned.id: MappingSpec.model_validate(await self._sealed.read(pinned)) for pinned in chosen.mappings
            },
            business_key=request.business_key,
            phase=request.phase,
            moment=Moment(request.business_date, request.as_of),
        )
        previous = await self._previous(request, case, data.parent)
        before = column_types(await describe(self._server, previous, owner)) if previous else None
        return case.request(
            data,
            data.parent,
            columns,
            **{name: getattr(self._settings, name) for name in ("memory_mib", "threads", "wall_seconds", "spill_mib")},
            previous=previous,
            previous_columns=before,
        )

    async def _previous(self, request: ValidationRequested, case: Case, scratch: Path) -> Path | None:
        """Fetch the previous extract where a rule looks back at it."""
        if request.previous is None or not any(rule.spec.scope == "history" for rule in case.rules):
            return None
        path = scratch / "previous.parquet"
        await self._runtime.objects.fetch(request.previous.key, request.previous.sha256, path)
        return path

    async def _opener(
        self, request: ValidationRequested, chosen: commands.RunRules, failures: Path | None, scratch: Path
    ) -> Opener | None:
        """Return what opens the verdict's exceptions, if it is one that counts."""
        if request.kind == "backtest" or (failures is None and request.held is None):
            return None
        held = await self._fetched(request.held, scratch / "held.parquet")
        origins = await self._fetched(request.origins, scratch / "origins.parquet")
        return Opener(request, chosen.names, Failures(failures, held, origins))

    async def _fetched(self, reference: ObjectReference | None, path: Path) -> Path | None:
        if reference is not None:
            await self._runtime.objects.fetch(reference.key, reference.sha256, path)
        return path if reference else None

    async def _seal(self, request: ValidationRequested, scratch: Path, name: str, rows: int) -> ObjectReference | None:
        if rows == 0:
            return None
        sealed = await self._runtime.objects.put_file(
            f"{request.grant.writes.rstrip('/')}/{name}.parquet", scratch / f"{name}.parquet"
        )
        return ObjectReference(key=sealed.key, sha256=sealed.sha256, size=sealed.size)


class RuleErredError(Exception):
    """A rule erred instead of failing; that fails the run."""


def _require_granted(request: ValidationRequested) -> None:
    for reference in (request.dataset, request.previous, request.origins, request.held):
        if reference is not None and reference not in request.grant.reads:
            raise Refusal("The grant does not name the dataset.", type="bad-grant")


def _require_no_errors(outcome: Outcome, chosen: commands.RunRules) -> None:
    erred = outcome.errored
    if erred:
        told = "; ".join(f"{chosen.names.get(rule.rule_id, rule.rule_id)}: {_told(rule)}" for rule in erred[:5])
        raise RuleErredError(f"{len(erred)} rule{'s' * (len(erred) > 1)} erred instead of giving a verdict: {told}")


def _told(rule: RuleTally) -> str:
    return rule.problem or f"on {rule.errors} records"


def _pinned(version: VersionReference) -> Pinned:
    return Pinned(version.kind, version.id, version.number, version.key, version.sha256)
