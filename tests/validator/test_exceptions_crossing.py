"""What opens exceptions again and what leaves a run's to nobody may cross: whoever commits last has them closed."""

from datetime import timedelta
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.database.transaction import Transaction
from libs.common.events.runner import RunEnded, ValidationRequested
from libs.common.events.validator import ValidationCompleted
from services.validator import commands, handlers
from services.validator import store as jobs
from services.validator.exceptions import concluding, decisions, waiving
from services.validator.exceptions.decisions import Kind
from services.validator.jail.sealing import FAILURES
from tests.validator.crossing import Work, cross
from tests.validator.queue import DAY, Queue, failure, run_ended
from tests.validator.test_exceptions_cancelled import statuses, waived
from tests.validator.test_exceptions_corrections import LEASE, Correction

BOTH = pytest.mark.parametrize("ended_first", [True, False], ids=["ended-first", "opened-first"])


def ended(queue: Queue, run: UUID, after: str = "cancelled", **more: object) -> Work:
    """Return the hearing of a run's end."""
    return lambda tx: handlers.on_run_ended(tx, run_ended(queue, run, after, **more))


async def asked(queue: Queue, run: UUID, phase: str) -> ValidationRequested:
    """Have a validation of a run asked for and claimed."""
    named = {"run_id": str(run), "report_id": str(queue.report), "phase": phase, "request_id": str(uuid4())}
    request = ValidationRequested.model_construct(
        run_id=run, report_id=queue.report, phase=phase, request_id=UUID(named["request_id"]), business_date=DAY
    )
    async with queue.transaction("service:validator") as tx:
        assert await jobs.add_job(tx, request.request_id, run, named)
        assert await jobs.claim_job(tx, request.request_id, queue.now) is not None
    return request


async def withdrawal(queue: Queue) -> Work:
    """Return the withdrawal of the one decision that there is."""
    (row,) = await queue.fetch("SELECT kind, id, revision FROM decision")
    kind: Kind = row["kind"]
    return lambda tx: decisions.withdraw(tx, kind, row["id"], row["revision"], "by mistake")


async def conclusion(made: Correction) -> Work:
    """Return the conclusion of a correction that failed."""
    await made.over("failed")
    (row,) = await made.queue.fetch("SELECT request_id FROM job WHERE task = 'conclude'")
    async with made.queue.transaction("service:validator") as tx:
        job = await jobs.claim_job(tx, row["request_id"], made.queue.now + LEASE)
        assert job is not None
    ending = concluding.Ending(RunEnded.model_validate(job["request"]), {})
    return lambda tx: concluding.conclude(tx, job, 1, ending)


async def crossed(queue: Queue, opens: Work, ends: Work, *, ended_first: bool) -> None:
    """Let them cross, one of them committing first."""
    await cross(queue, *((ends, opens) if ended_first else (opens, ends)))


@BOTH
async def test_a_decision_is_withdrawn_while_its_run_is_cancelled(queue: Queue, *, ended_first: bool) -> None:
    """Neither sees what the other has not committed; the exception closes all the same."""
    run = await queue.open([failure(1)])
    await waived(queue, run, "T1")
    await crossed(queue, await withdrawal(queue), ended(queue, run), ended_first=ended_first)
    await Correction(queue, run).work("void")
    assert await statuses(queue, run) == {"T1": ("closed", "void")}


@BOTH
async def test_a_correction_is_concluded_while_its_parent_is_cancelled(queue: Queue, *, ended_first: bool) -> None:
    """What it could not settle opens again, of a run that leaves nobody anything to do."""
    run = await queue.open([failure(1)])
    made = Correction(queue, run)
    await made.send(1, key="T1")
    await crossed(queue, await conclusion(made), ended(queue, run), ended_first=ended_first)
    await made.work("void")
    assert await statuses(queue, run) == {"T1": ("closed", "void")}


@BOTH
async def test_a_decision_is_withdrawn_while_its_verdict_fails(queue: Queue, *, ended_first: bool) -> None:
    """The records could not be judged in the end; what somebody decided of one before is taken back in that moment."""
    run = uuid4()
    request = await asked(queue, run, "input")
    await queue.open([failure(1)], run=run)
    await waived(queue, run, "T1")

    async def fails(tx: Transaction) -> None:
        assert await commands.fail(tx, request, 1, "rule-erred", "a rule errs")

    await crossed(queue, await withdrawal(queue), fails, ended_first=ended_first)
    await Correction(queue, run).work("void")
    assert await statuses(queue, run) == {"T1": ("closed", "void")}


@BOTH
async def test_an_exception_is_decided_while_its_run_is_cancelled(queue: Queue, *, ended_first: bool) -> None:
    """What was decided in time stays decided, whoever commits last: what closes looks again at what it holds."""
    run = await queue.open([failure(1), failure(2)])
    row = await queue.one(run_id=run, key="T1")

    async def decides(tx: Transaction) -> None:
        await waiving.waive(tx, row["id"], row["revision"], DAY + timedelta(days=900), "known")

    await crossed(queue, decides, ended(queue, run), ended_first=ended_first)
    await Correction(queue, run).work("void")
    assert await statuses(queue, run) == {"T1": ("waived", None), "T2": ("closed", "void")}


async def verdict(queue: Queue, request: ValidationRequested, ordinal: int) -> Work:
    """Return the telling of a verdict that holds one record."""
    path = queue.home / f"{uuid4()}.parquet"
    pq.write_table(pa.Table.from_pylist([failure(ordinal)], schema=FAILURES), path)
    opener = queue.opener(request.run_id, path, request.phase, request_id=request.request_id)
    assert await opener.open_ahead(queue.database, queue.context("service:validator"), 1)
    told = ValidationCompleted(
        run_id=request.run_id, request_id=request.request_id, phase=request.phase, rules=(), mappings=(), counts=(),
        rows=9, held=1, warned=0, corrected=0, waived=0, seconds=0.1,
    )  # fmt: skip

    async def tells(tx: Transaction) -> None:
        await commands.complete(tx, request, 1, told, opener)

    return tells


@pytest.mark.parametrize("told", ["before", "crossing", "crossing-last", "after"])
async def test_a_verdict_that_its_run_did_not_take_counts_as_never_told(queue: Queue, told: str) -> None:
    """The run had failed for want of it; what it holds closes, in whichever order the two are heard of."""
    run = uuid4()
    over, tells = (
        ended(queue, run, "failed", unjudged=("input",)),
        await verdict(queue, await asked(queue, run, "input"), 1),
    )
    if told.startswith("crossing"):
        await cross(queue, *((tells, over) if told == "crossing" else (over, tells)))
    else:
        for work in (tells, over) if told == "before" else (over, tells):
            async with queue.transaction("service:validator") as tx:
                await work(tx)
    async with queue.transaction("service:validator") as tx:
        await over(tx)
    await Correction(queue, run).work("void")
    assert set((await statuses(queue, run)).values()) <= {("closed", "void")}
    told_of = [data["records"] for name, data in await queue.events() if name == "exception.voided"]
    assert told_of == ([1] if told in ("before", "crossing") else [])


async def test_of_a_run_that_missed_a_verdict_the_earlier_one_holds(queue: Queue) -> None:
    """Who repeats it takes over what was judged of its input; what was decided of the output stays until it is taken back."""
    run = uuid4()
    for ordinal, phase in enumerate(("input", "output"), start=1):
        tells = await verdict(queue, await asked(queue, run, phase), ordinal)
        async with queue.transaction("service:validator") as tx:
            await tells(tx)
    await waived(queue, run, "T2")
    async with queue.transaction("service:validator") as tx:
        await ended(queue, run, "failed", unjudged=("output",))(tx)
    assert await statuses(queue, run) == {"T1": ("open", None), "T2": ("waived", None)}
    async with queue.transaction() as tx:
        await (await withdrawal(queue))(tx)
    await Correction(queue, run).work("void")
    assert await statuses(queue, run) == {"T1": ("open", None), "T2": ("closed", "void")}
