"""A run that was cancelled reports nothing: what it holds and nobody decided of closes by itself, whenever it is heard of."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.events.envelope import Event
from services.validator import commands, handlers
from services.validator import store as jobs
from services.validator.exceptions import decisions, waiving
from services.validator.exceptions.decisions import Kind
from tests.validator.queue import DAY, Queue, failure, run_ended
from tests.validator.rounds import Rounds
from tests.validator.test_exceptions_corrections import Correction

WHY = "The run was cancelled: enough"


async def cancelled(queue: Queue, run: UUID, **more: Any) -> None:
    """Hear twice that a run was cancelled."""
    for _ in range(2):
        async with queue.transaction("service:validator") as tx:
            await handlers.on_run_ended(tx, run_ended(queue, run, "cancelled", **more))


async def waived(queue: Queue, run: UUID, key: str) -> None:
    """Waive a record's failure."""
    row = await queue.one(run_id=run, key=key)
    async with queue.transaction() as tx:
        await waiving.waive(tx, row["id"], row["revision"], DAY + timedelta(days=900), "known")


async def statuses(queue: Queue, run: UUID) -> dict[str, tuple[str, str | None]]:
    """Return status and resolution by key."""
    return {row["key"]: (row["status"], row["resolution"]) for row in await queue.listed(run_id=run)}


async def test_what_is_open_of_a_cancelled_run_closes_once(queue: Queue) -> None:
    """Its verdicts were told; both phases close with the reason. What was decided, or is on its way, stays."""
    run = await queue.open([failure(n) for n in range(1, 5)])
    await queue.open([failure(8, "out")], run=run, phase="output")
    other = await queue.open([failure(1)])
    made = Correction(queue, run)
    await made.send(1, key="T2")
    await waived(queue, run, "T1")
    await cancelled(queue, run)
    await made.work("void")
    await cancelled(queue, run)
    assert await queue.fetch("SELECT FROM job WHERE status = 'queued'") == []
    assert await statuses(queue, run) == {
        "T1": ("waived", None), "T2": ("resubmitted", None),
        **dict.fromkeys(("T3", "T4", "T8"), ("closed", "void")),
    }  # fmt: skip
    assert await statuses(queue, other) == {"T1": ("open", None)}
    told = [data for name, data in await queue.events() if name == "exception.voided"]
    assert sorted((one["run_id"], one["phase"], one["records"], one["reason"]) for one in told) == [
        (str(run), "input", 2, WHY), (str(run), "output", 1, WHY),
    ]  # fmt: skip
    lines = await queue.fetch("SELECT comment FROM exception_history WHERE action = 'closed'")
    assert [line["comment"] for line in lines] == [WHY] * 3


async def test_what_opens_again_of_a_cancelled_run_closes_too(queue: Queue) -> None:
    """Neither a waiver that is taken back nor a correction that fails leaves work that nobody can do."""
    run = await queue.open([failure(n) for n in (1, 2, 3)])
    made = Correction(queue, run)
    await made.send(1, key="T2")
    await waived(queue, run, "T1")
    await cancelled(queue, run)
    await made.work("void")
    await made.over("failed")
    await made.work("conclude", "void")
    assert await statuses(queue, run) == {"T1": ("waived", None), **dict.fromkeys(("T2", "T3"), ("closed", "void"))}
    (waiver,) = await queue.fetch("SELECT kind, id, revision FROM decision")
    kind: Kind = waiver["kind"]
    async with queue.transaction() as tx:
        await decisions.withdraw(tx, kind, waiver["id"], waiver["revision"], "by mistake")
    assert (await statuses(queue, run))["T1"] == ("open", None)
    await made.work("void")
    assert (await statuses(queue, run))["T1"] == ("closed", "void")


async def test_a_correction_that_is_cancelled_after_its_verdict_leaves_what_it_found(queue: Queue) -> None:
    """Its records are still held by the run that it corrects, and somebody can settle them."""
    run = await queue.open([failure(1)])
    made = Correction(queue, run)
    await made.send(1, key="T1")
    opener = await made.judge([failure(1, "r2")])
    async with queue.transaction("service:validator") as tx:
        assert await jobs.end_job(tx, made.request_id, 1, "done")
        await opener.open_last(tx)
    await made.over("cancelled")
    await made.work("conclude", "void")
    assert [one[1:4] for one in await made.seen()] == [("r1", "open", None), ("r2", "open", None)]


@pytest.mark.parametrize("after", ["failed", "cancelled"])
async def test_a_validation_that_is_asked_for_too_late_is_not_made(rounds: Rounds, after: str) -> None:
    """A request that was laid aside and is handled after its run's end is of no use to anybody."""
    over, running = uuid4(), uuid4()
    for run in (over, running):
        asked = await rounds._asked(run, [("T1", "XXXX", "2")], {})
        async with rounds.transaction("service:validator") as tx:
            await handlers.on_run_ended(tx, run_ended(rounds, over, after))
            await commands.on_validation_requested(tx, Event.model_construct(data=asked.model_dump(mode="json")))
    assert [row["run_id"] for row in await rounds.fetch("SELECT run_id FROM job")] == [running]
