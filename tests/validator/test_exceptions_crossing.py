"""What opens exceptions again and what leaves a run's to nobody may cross: whoever commits last has them closed."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from libs.common.database.transaction import Transaction
from libs.common.events.runner import RunEnded, ValidationRequested
from services.validator import commands, handlers
from services.validator import store as jobs
from services.validator.exceptions import concluding, decisions, waiving
from services.validator.exceptions.decisions import Kind
from tests.validator.crossing import Work, cross
from tests.validator.queue import DAY, Queue, failure, run_ended
from tests.validator.test_exceptions_cancelled import statuses, waived
from tests.validator.test_exceptions_corrections import LEASE, Correction

BOTH = pytest.mark.parametrize("ended_first", [True, False], ids=["ended-first", "opened-first"])


def ended(queue: Queue, run: UUID, after: str = "cancelled", **more: object) -> Work:
    """Return the hearing of a run's end."""
    return lambda tx: handlers.on_run_ended(tx, run_ended(queue, run, after, **more))


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
    run, request_id = uuid4(), uuid4()
    asked = {"run_id": str(run), "report_id": str(queue.report), "phase": "input"}
    async with queue.transaction("service:validator") as tx:
        assert await jobs.add_job(tx, request_id, run, asked)
        assert await jobs.claim_job(tx, request_id, queue.now) is not None
    await queue.open([failure(1)], run=run)
    await waived(queue, run, "T1")
    request = ValidationRequested.model_construct(
        run_id=run, report_id=queue.report, phase="input", request_id=request_id
    )

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
