"""Workers: they take a run, do its steps one by one, and let it go."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from libs.common.objects import ObjectAlteredError, ObjectMissingError
from libs.common.telemetry.traces import span
from services.runner.commands import cancelling, claims, creation, sealing, transformations
from services.runner.commands.claims import CancelAskedError, Claim
from services.runner.commands.moves import LostRaceError
from services.runner.commands.results import StepResult
from services.runner.domain.ledger import UnbalancedError
from services.runner.domain.steps import PHASES, TRIALS, last_step, next_step
from services.runner.engines.errors import DataPathError
from services.runner.metrics import STEP_SECONDS
from services.runner.steps import ahead, coding
from services.runner.steps.compare import compare
from services.runner.steps.deliver import deliver
from services.runner.steps.extract import extract
from services.runner.steps.job import Job, Tools
from services.runner.steps.plan import Plan
from services.runner.steps.render import render
from services.runner.steps.transform import transform
from services.runner.steps.validation import held_by_transform, look_back, request_for
from services.runner.steps.workspace import Workspaces
from services.runner.store import parts, runs

_LOG = structlog.get_logger(__name__)
_BEAT_SECONDS = 1.0

_STEPS: Mapping[str, ahead.Step] = MappingProxyType(
    {"extract": extract, "transform": transform, "render": render, "deliver": deliver, "compare": compare}
)
_DATASETS = {"validate": ("extract", "extract"), "validate_output": ("transform", "records")}


class Executor:
    """Works on the runs of one process, at most `slots` at a time."""

    def __init__(self, database: Database, tools: Tools, workspaces: Workspaces) -> None:
        self._database = database
        self._tools = tools
        self._workspaces = workspaces
        self._slots = asyncio.Semaphore(tools.settings.slots)
        self._lease = timedelta(seconds=tools.settings.lease_seconds)
        self._name = socket.gethostname()[:60]
        self._active: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether all slots are taken."""
        return self._slots.locked()

    async def handle(self, reference: dict[str, Any]) -> None:
        """Take a poke from the work queue."""
        await self.attempt(UUID(reference["tenant_id"]), UUID(reference["run_id"]))

    async def attempt(self, tenant_id: UUID, run_id: UUID) -> None:
        """Take a run if it may be taken, and bring it as far as it goes."""
        async with self._slots:
            if not self._closed and (claim := await self._take(tenant_id, run_id)) is not None:
                await self._work(claim)

    async def take(self, tx: Transaction, reference: dict[str, Any]) -> Claim | None:
        """Take a run in the transaction that queues it: what follows is the runner's own doing, whoever asked."""
        before, tx.context = tx.context, self.context(tx.tenant_id)
        try:
            return await self._claim(tx, UUID(reference["run_id"]), "queued")
        finally:
            tx.context = before

    async def work(self, claim: Claim) -> None:
        """Bring a run that was taken as far as it goes."""
        async with self._slots:
            if self._closed:
                await self._last_word(claim, lambda tx, held: claims.release(tx, held, timedelta(0)))
            else:
                await self._work(claim)

    async def close(self) -> None:
        """Stop working; runs in hand go back to the queue at once."""
        self._closed = True
        for task in list(self._active):
            task.cancel()
        await asyncio.gather(*self._active, return_exceptions=True)

    @asynccontextmanager
    async def _transaction(self, run: Row) -> AsyncIterator[Transaction]:
        async with self._database.transaction(self.context(run["tenant_id"], run)) as tx:
            yield tx

    def context(self, tenant_id: UUID, run: Row | None = None) -> Context:
        """Return the context in which the runner itself acts."""
        context = Context(tenant_id, "service:runner", self._tools.now())
        if run is None:
            return context
        return replace(context, correlation_id=run["correlation_id"], traceparent=run["traceparent"])

    async def _take(self, tenant_id: UUID, run_id: UUID) -> Claim | None:
        async with self._database.transaction(self.context(tenant_id)) as tx:
            return await self._claim(tx, run_id, "waiting", "queued")

    async def _claim(self, tx: Transaction, run_id: UUID, *statuses: str) -> Claim | None:
        try:
            run = await runs.lock(tx, run_id)
        except NotFound:
            return None
        if run["status"] not in statuses:
            return None
        tx.context = self.context(tx.tenant_id, run)
        if run["status"] == "waiting":
            run = await creation.admit(tx, self._tools.library, run)
        return await claims.claim(tx, run, self._name, self._lease)

    async def _work(self, claim: Claim) -> None:
        with _told_apart(claim.run):
            work = asyncio.create_task(self._advance(claim))
            beat = asyncio.create_task(self._beat(claim, work))
        self._active.add(work)
        try:
            await asyncio.wait({work})
        finally:
            self._active.discard(work)
            beat.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)
        await self._conclude(claim, work, beat)

    async def _conclude(self, claim: Claim, work: "asyncio.Task[bool]", beat: "asyncio.Task[bool]") -> None:
        """Do what is left to do after the work ended, in whichever way."""
        cancel_asked = beat.done() and not beat.cancelled() and beat.exception() is None and beat.result()
        error = None if work.cancelled() else work.exception()
        if isinstance(error, CancelAskedError) or (work.cancelled() and cancel_asked):
            await self._last_word(claim, cancelling.cancel_held)
        elif work.cancelled() and self._closed:
            await self._last_word(claim, lambda tx, held: claims.release(tx, held, timedelta(0)))
        elif error is not None and not isinstance(error, LostRaceError):
            _LOG.error("run.interrupted", run=str(claim.run_id), error=repr(error), exc_info=error)
            pause = timedelta(seconds=2.0 ** claim.run["attempts"])
            await self._last_word(claim, lambda tx, held: claims.release(tx, held, pause))
        if work.cancelled() or error is not None or not work.result():
            await self._workspaces.drop(claim.run_id)

    async def _last_word(self, claim: Claim, say: Callable[[Transaction, Claim], Awaitable[None]]) -> None:
        try:
            async with self._transaction(claim.run) as tx:
                await say(tx, claim)
        except CancelAskedError:
            await self._last_word(claim, cancelling.cancel_held)
        except Exception as error:  # the lease runs out, and another worker goes on
            _LOG.warning("run.left", run=str(claim.run_id), error=repr(error))

    async def _beat(self, claim: Claim, work: "asyncio.Task[bool]") -> bool:
        """Keep the lease while the work goes on; stop it, and say True where it shall be cancelled."""
        while True:
            await asyncio.sleep(min(_BEAT_SECONDS, self._lease.total_seconds() / 3))
            try:
                async with self._transaction(claim.run) as tx:
                    await claims.beat(tx, claim, tx.context.now + self._lease)
            except (LostRaceError, CancelAskedError) as stop:
                work.cancel()
                return isinstance(stop, CancelAskedError)
            except Exception as error:
                _LOG.warning("run.beat_missed", run=str(claim.run_id), error=repr(error))

    async def _advance(self, claim: Claim) -> bool:
        """Do step after step; return whether the run stays here, waiting for a verdict."""
        plan = await Plan.load(self._tools.library, claim.run["pins"])
        current: Claim | None = claim
        last = last_step(claim.run["kind"])
        while current is not None:
            step = next_step(current.done, claim.run["kind"]) or last
            job = Job(self._tools, current, plan, self._workspaces.of(claim.run_id))
            try:
                current = await self._do(job, step)
            except (DataPathError, ObjectAlteredError, ObjectMissingError, UnbalancedError) as error:
                async with self._transaction(claim.run) as tx:
                    await sealing.fail_step(tx, job.claim, step, *_explain(error))
                return False
        return step != last

    async def _do(self, job: Job, step: str) -> Claim | None:
        """Do one step and what follows from it in the same commit; return None where the run leaves our hands."""
        if step in PHASES:
            async with self._transaction(job.run) as tx:
                return await self._seal(tx, job, ())
        with span(f"step {step}"):
            result = await self._result(job, step)
        if result is None:
            return None
        results = [result, *await self._made_ahead(job, result)]
        await job.workspace.settled()
        for each in results:
            _note_step(each, (self._tools.now() - each.started_at).total_seconds())
        async with self._transaction(job.run) as tx:
            if step == last_step(job.run["kind"]):
                await sealing.finish(tx, job.claim, result)
                return None
            following = await self._seal(tx, job, results)
        ahead.begin_draft(job, result)
        return following

    async def _seal(self, tx: Transaction, job: Job, results: Sequence[StepResult]) -> Claim | None:
        """Record results and what follows from each, or from what is there already."""
        await claims.hold(tx, job.claim)
        current: Claim | None = job.claim if results else await self._follow(tx, job)
        for result in results:
            if current is not None:
                current = await self._follow(tx, replace(job, claim=await sealing.seal(tx, current, result)))
        if current is not None:
            await claims.keep(tx, current)
        return current

    async def _made_ahead(self, job: Job, result: StepResult) -> Sequence[StepResult]:
        """Return the rendering too where a draft of it is there; otherwise begin it while the transform is being sealed.

        Neither where something comes between the two.
        """
        if result.step != "transform" or last_step(job.run["kind"]) != "deliver" or await self._judges_output(job):
            return ()
        return await ahead.made_or_begun_render(job, result, _STEPS["render"])

    async def _result(self, job: Job, step: str) -> StepResult | None:
        """Do a step; return None where the validator was asked to run the report's code first."""
        if step != "transform" or not coding.runs_code(job):
            return await (ahead.begun(job, step) or _STEPS[step](job))
        async with self._transaction(job.run) as tx:
            answer = await parts.transformation_of(tx, job.claim.run_id)
        if answer is not None:
            return await coding.fold(job, answer)
        dataset, rows, held = await coding.make_ready(job)
        await job.workspace.settled()
        async with self._transaction(job.run) as tx:
            await claims.hold(tx, job.claim)
            await transformations.ask(tx, job.claim, coding.request_for(job, dataset, rows), dataset, held)
        return None

    async def _follow(self, tx: Transaction, job: Job) -> Claim | None:
        """Ask for a verdict where one is due next."""
        step = next_step(job.claim.done, job.run["kind"])
        if step not in PHASES:
            return job.claim
        if step == "validate_output" and not await self._judges_output(job):
            return await sealing.skip(tx, job.claim, step)
        source, name = _DATASETS[step]
        dataset = job.sealed(source, name)
        if dataset is None:
            raise DataPathError("dataset-missing", f"The sealed output of {source} is gone.")
        asked = request_for(job, step, dataset, job.facts(source)["rows"], await look_back(tx, job, step))
        await sealing.ask_validator(tx, job.claim, asked)
        return None

    async def _judges_output(self, job: Job) -> bool:
        """Say whether rules judge the output, or the transform holds records, which wait in the exception queue."""
        if job.run["kind"] not in TRIALS and held_by_transform(job) is not None:
            return True
        return await job.plan.has_output_rules(job.claim.verdicts["input"]["verdict"]["rules"])


@contextmanager
def _told_apart(run: Row) -> Iterator[None]:
    """Give what is begun inside the run's trace, and its log lines the ids of run and request."""
    ids = {"run_id": str(run["id"]), "request_id": run["correlation_id"]}
    with structlog.contextvars.bound_contextvars(**ids), span("run", parent=run["traceparent"]):
        yield


def _note_step(result: StepResult, seconds: float) -> None:
    STEP_SECONDS.labels(result.step).observe(seconds)
    _LOG.info("step.done", step=result.step, seconds=round(seconds, 3))


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, DataPathError):
        return error.code, error.message
    if isinstance(error, UnbalancedError):
        return "unbalanced", f"The step's records do not add up: {error}."
    if isinstance(error, ObjectAlteredError):
        return "object-altered", "A sealed file is not what was sealed."
    return "object-missing", "A sealed file is gone."
